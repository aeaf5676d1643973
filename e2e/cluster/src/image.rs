//! Container images without Docker and without a registry: an OCI layout in one tarball, made of files, and its import into
//! a node's containerd. Must not know what the files do.

use crate::namespaces::Namespaces;
use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use tar::{EntryType, Header};

/// An image: an empty file system with these files in it.
#[derive(Clone, Debug)]
pub struct Image {
    name: String,
    entrypoint: Vec<String>,
    files: Vec<(String, PathBuf)>,
    links: Vec<(String, String)>,
}

impl Image {
    /// An image called `name`, in full, as pods name it (`local.test/pause:1`; never `:latest`, which kubelets try to pull),
    /// that starts `entrypoint`.
    pub fn new(name: &str, entrypoint: &[&str]) -> Self {
        let entrypoint = entrypoint.iter().map(|word| (*word).to_owned()).collect();
        Self { name: name.to_owned(), entrypoint, files: Vec::new(), links: Vec::new() }
    }

    /// With the program or file `from` at `to` (no leading slash), as everybody may read and run it.
    #[must_use]
    pub fn with_file(mut self, to: &str, from: &Path) -> Self {
        self.files.push((to.to_owned(), from.to_owned()));
        self
    }

    /// With a symbolic link at `at` (no leading slash) to `to`.
    #[must_use]
    pub fn with_link(mut self, at: &str, to: &str) -> Self {
        self.links.push((at.to_owned(), to.to_owned()));
        self
    }

    /// Its full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes it to `path` as an OCI layout in a tarball.
    pub fn write(&self, path: &Path) -> Result<()> {
        let layer = self.layer()?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&layer).context("cannot compress a layer")?;
        let packed = gzip.finish().context("cannot compress a layer")?;
        let config = text(&json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "Env": ["PATH=/bin"]},
            // Of the layer as it is unpacked, not as it is stored.
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        }));
        let manifest = text(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &packed)],
        }));
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        entry["annotations"] = json!({"io.containerd.image.name": self.name});
        let index = text(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [entry],
        }));
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut archive = tar::Builder::new(file);
        add(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
        add(&mut archive, "index.json", &index, 0o644)?;
        for blob in [&manifest, &config, &packed] {
            let name = digest(blob).replace(':', "/");
            add(&mut archive, &format!("blobs/{name}"), blob, 0o644)?;
        }
        archive.finish().with_context(|| format!("cannot write {}", path.display()))
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for (to, from) in &self.files {
            let mut content = Vec::new();
            let read = File::open(from).and_then(|mut file| file.read_to_end(&mut content));
            read.with_context(|| format!("image {}: cannot read {}", self.name, from.display()))?;
            add(&mut archive, to, &content, 0o755)?;
        }
        for (at, to) in &self.links {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            header.set_mode(0o777);
            archive.append_link(&mut header, at, to).with_context(|| format!("image {}: link {at}", self.name))?;
        }
        archive.into_inner().context("cannot finish a layer")
    }
}

/// Loads the image in the tarball at `path` into the containerd that runs in `node`, where the kubelet sees it.
pub fn import(node: &Namespaces, ctr: &Path, path: &Path) -> Result<()> {
    // The namespace that containerd's CRI plugin uses.
    let args = ["-n", "k8s.io", "images", "import", &path.display().to_string()];
    node.run(&ctr.display().to_string(), &args).map(drop).with_context(|| format!("cannot import {}", path.display()))
}

/// The sandbox of every pod on our nodes.
pub const PAUSE: &str = "local.test/pause:1";
/// A shell and the usual small programs, for probes and tests.
pub const BUSYBOX: &str = "local.test/busybox:1";

/// The image of the sandbox, from its static program.
pub fn pause(program: &Path) -> Image {
    Image::new(PAUSE, &["/pause"]).with_file("pause", program)
}

/// The image of busybox, from Debian's static program.
pub fn busybox(program: &Path) -> Image {
    let image = Image::new(BUSYBOX, &["/bin/busybox", "sh"]).with_file("bin/busybox", program);
    ["sh", "cat", "sleep", "echo", "nc", "httpd", "ls", "id", "nslookup"]
        .iter()
        .fold(image, |image, name| image.with_link(&format!("bin/{name}"), "/bin/busybox"))
}

fn add(archive: &mut tar::Builder<impl Write>, path: &str, content: &[u8], mode: u32) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, path, content).with_context(|| format!("cannot add {path} to an archive"))
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn descriptor(media: &str, content: &[u8]) -> Value {
    json!({"mediaType": media, "digest": digest(content), "size": content.len()})
}

/// Writes `image` into `folder`, under a file name made of its own.
pub fn store(image: &Image, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("{}.tar", image.name.replace(['/', ':'], "_")));
    image.write(&path)?;
    Ok(path)
}

/// Puts the tarball at `path` into `folder` too: by a link where that can be, for some are large.
pub(crate) fn keep(path: &Path, folder: &Path) -> Result<PathBuf> {
    let file = path.file_name().with_context(|| format!("{} is no file", path.display()))?;
    let kept = folder.join(file);
    if fs::hard_link(path, &kept).is_err() {
        fs::copy(path, &kept).with_context(|| format!("cannot copy {}", path.display()))?;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::collections::BTreeMap;

    fn read(archive: impl Read) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        });
        entries.collect()
    }

    #[test]
    fn every_digest_leads_to_its_blob() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("program"), b"code").unwrap();
        let image =
            Image::new("local.test/x:1", &["/x"]).with_file("x", &dir.path().join("program")).with_link("bin/y", "/x");
        let path = store(&image, dir.path()).unwrap();
        let files = read(File::open(path).unwrap());
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let blob = |descriptor: &Value| {
            let name = descriptor["digest"].as_str().unwrap();
            let content = &files[&format!("blobs/{}", name.replace(':', "/"))];
            assert_eq!(descriptor["size"], content.len());
            assert_eq!(digest(content), name);
            content.clone()
        };
        let index = json(&files["index.json"]);
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "local.test/x:1");
        let manifest = json(&blob(&index["manifests"][0]));
        let config = json(&blob(&manifest["config"]));
        let mut layer = Vec::new();
        GzDecoder::new(blob(&manifest["layers"][0]).as_slice()).read_to_end(&mut layer).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
        let inside = read(layer.as_slice());
        assert_eq!(inside["x"], b"code");
        assert!(inside.contains_key("bin/y"));
    }

    #[test]
    fn a_missing_file_is_named_with_its_image() {
        let image = Image::new("local.test/x:1", &["/x"]).with_file("x", Path::new("/no/such"));
        let error = format!("{:#}", image.write(&std::env::temp_dir().join("never")).unwrap_err());
        assert!(error.contains("local.test/x:1") && error.contains("/no/such"), "{error}");
    }
}
