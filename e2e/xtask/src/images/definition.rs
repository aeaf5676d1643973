//! What `images/images.toml` says, read and checked. Must not know how an image is built.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fs;
use std::path::Path;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The user that every program runs as; not 0.
    pub user: u32,
    /// Pinned Debian packages.
    pub package: Vec<Package>,
    /// The images.
    pub image: Vec<Image>,
}

/// A Debian package by version and hash.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the `.deb` file.
    pub sha256: String,
    /// Files of it that go into an image, from the root.
    pub take: Vec<String>,
}

/// One image.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its name, the last part of its reference.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// The program in it.
    pub program: String,
    /// Names of the packages in it; none for a program that needs no library.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Whether it holds libtorch.
    #[serde(default)]
    pub libtorch: bool,
    /// What runs when nothing else is asked for.
    pub command: Vec<String>,
    /// The most megabytes that its archive may have.
    pub max_megabytes: Option<u64>,
}

impl Definition {
    /// Reads and checks the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not what is expected", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let it: Self = toml::from_str(text)?;
        if it.user == 0 {
            bail!("user is 0: images run as somebody without rights; choose a number above 0, such as 65532");
        }
        for p in &it.package {
            if p.sha256.len() != 64 || !p.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
                bail!("package {}: sha256 must be 64 hexadecimal characters", p.name);
            }
            if let Some(bad) = p.take.iter().find(|t| t.starts_with('/') || t.split('/').any(|part| part == "..")) {
                bail!("package {}: {bad} must be a path from the root, without a leading / and without ..", p.name);
            }
        }
        for image in &it.image {
            it.packages_of(image)?;
        }
        Ok(it)
    }

    /// The images with these names, or all.
    pub fn chosen(&self, names: &[String]) -> Result<Vec<&Image>> {
        if names.is_empty() {
            return Ok(self.image.iter().collect());
        }
        let find = |name: &String| {
            let known: Vec<&str> = self.image.iter().map(|i| i.name.as_str()).collect();
            self.image
                .iter()
                .find(|i| i.name == *name)
                .with_context(|| format!("there is no image `{name}`; there are: {}", known.join(", ")))
        };
        names.iter().map(find).collect()
    }

    /// The packages that `image` names.
    pub fn packages_of(&self, image: &Image) -> Result<Vec<&Package>> {
        let find = |name: &String| {
            self.package.iter().find(|p| p.name == *name).with_context(|| {
                format!("image {} names package {name}, which has no version and hash: add a [[package]]", image.name)
            })
        };
        image.packages.iter().map(find).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"
        user = 1
        package = [{ name = "p", version = "1", sha256 = "HASH", take = ["lib/a.so"] }]
        image = [{ name = "i", description = "d", program = "x", packages = ["p"], command = ["x"] }]
    "#;

    fn told(from: &str, to: &str) -> String {
        let text = ONE.replace("HASH", &"a".repeat(64)).replace(from, to);
        format!("{:#}", Definition::parse(&text).unwrap_err())
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        assert!(Definition::parse(&ONE.replace("HASH", &"a".repeat(64))).is_ok());
        assert!(told("user = 1", "user = 0").contains("without rights"));
        assert!(told("lib/a.so", "/lib/a.so").contains("leading /"));
        assert!(told("lib/a.so", "lib/../../a").contains("without .."));
        assert!(told("[\"p\"]", "[\"q\"]").contains("add a [[package]]"));
        assert!(told("aaaa", "zzzz").contains("64 hexadecimal"));
        assert!(told("program =", "programm =").contains("programm"));
    }

    #[test]
    fn an_unknown_image_is_refused_with_the_known_ones() {
        let d = Definition::parse(&ONE.replace("HASH", &"a".repeat(64))).unwrap();
        let text = d.chosen(&["j".to_owned()]).unwrap_err().to_string();
        assert!(text.contains("`j`") && text.contains("there are: i"), "{text}");
        assert_eq!(d.chosen(&[]).unwrap().len(), 1);
    }
}
