//! What a cluster shall have: said before it starts. Must not know how it is started.

use crate::image::Image;
use std::path::{Path, PathBuf};

/// Bytes of a site's store disk unless told otherwise: enough for a tiny model's run, little enough to be filled.
const STORE: u64 = 256 << 20;

/// What a cluster shall have.
#[derive(Clone, Debug)]
pub struct Spec {
    pub(crate) name: String,
    pub(crate) controllers: bool,
    pub(crate) nodes: u8,
    pub(crate) fakes: Option<u32>,
    pub(crate) store_bytes: u64,
    pub(crate) s3: bool,
    pub(crate) images: Vec<Image>,
    pub(crate) tarballs: Vec<PathBuf>,
}

impl Spec {
    /// etcd and an API server: 3 s, for what talks to an API alone.
    pub fn api(name: &str) -> Self {
        let name = name.to_owned();
        let (images, tarballs) = (Vec::new(), Vec::new());
        Self { name, controllers: false, nodes: 0, fakes: None, store_bytes: STORE, s3: false, images, tarballs }
    }

    /// All of it with `nodes` real nodes, called `NAME-1` and on: containers run.
    pub fn whole(name: &str, nodes: u8) -> Self {
        Self { nodes, ..Self::api(name).with_controllers() }
    }

    /// With controller manager and scheduler: ServiceAccounts, Jobs, garbage collection, binding.
    #[must_use]
    pub fn with_controllers(mut self) -> Self {
        self.controllers = true;
        self
    }

    /// With `count` played nodes of 8 GPUs each (kwok), called `NAME-fake-1` and on; controllers come with them.
    #[must_use]
    pub fn with_fake_nodes(mut self, count: u32) -> Self {
        self.fakes = Some(count);
        self.with_controllers()
    }

    /// With this image on every real node, beside `pause` and `busybox`.
    #[must_use]
    pub fn with_image(mut self, image: Image) -> Self {
        self.images.push(image);
        self
    }

    /// With the image in this OCI tarball on every real node.
    #[must_use]
    pub fn with_image_file(mut self, path: &Path) -> Self {
        self.tarballs.push(path.to_owned());
        self
    }

    /// With an S3 server whose objects lie on the store disk.
    #[must_use]
    pub fn with_s3(mut self) -> Self {
        self.s3 = true;
        self
    }

    /// With a store disk of this many bytes (256 MiB otherwise).
    #[must_use]
    pub fn with_store(mut self, bytes: u64) -> Self {
        self.store_bytes = bytes;
        self
    }
}
