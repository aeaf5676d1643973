//! Collectives inside one site: Local (threads) and Tcp.
