//! What holds a pod's namespaces while its containers come and go. The runtime ends it with SIGKILL; there is nothing to reap,
//! for containers here have process namespaces of their own. It must know nothing: it is built alone, static, by `rustc`.

fn main() {
    loop {
        // May return without a reason, as every park may.
        std::thread::park();
    }
}
