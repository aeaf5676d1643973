//! Llama and Nemotron as lists of stages: functions of parameters and carry.
