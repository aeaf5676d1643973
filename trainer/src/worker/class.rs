//! The reproducibility class (D1): what must be equal for two runs of the same steps to give the same bits. Must not know
//! what is computed.
use coalition_protocol::Digest;
use coalition_protocol::canonical;
use coalition_spec::training::Precision;
use serde::Serialize;

use crate::failure::Failure;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Class<'a> {
    build: &'a str,
    libtorch: &'a str,
    instructions: Vec<&'a str>,
    threads: u32,
    workers: u32,
    precision: Precision,
}

/// The instruction sets that the tensor library chooses its kernels by.
fn instructions() -> Vec<&'static str> {
    let mut found = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        let all = [
            ("avx2", std::is_x86_feature_detected!("avx2")),
            ("fma", std::is_x86_feature_detected!("fma")),
            ("avx512f", std::is_x86_feature_detected!("avx512f")),
            ("avx512bw", std::is_x86_feature_detected!("avx512bw")),
            ("avx512vl", std::is_x86_feature_detected!("avx512vl")),
            ("avx512dq", std::is_x86_feature_detected!("avx512dq")),
            ("avx512vnni", std::is_x86_feature_detected!("avx512vnni")),
        ];
        found.extend(all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name));
    }
    found
}

/// The class of this process.
pub fn digest(threads: u32, workers: u32, precision: Precision) -> Result<Digest, Failure> {
    let class = Class {
        build: env!("COALITION_BUILD"),
        libtorch: env!("COALITION_LIBTORCH"),
        instructions: instructions(),
        threads,
        workers,
        precision,
    };
    canonical::digest(&class).map_err(|e| Failure::bug(format!("a class without words: {e}")))
}
