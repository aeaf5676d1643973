//! `cargo xtask images`: the container images of `images/images.toml`, built without Docker. Must not know what a program in
//! one does, or who runs it.
//!
//! An image is an archive in the OCI image layout (image-spec 1.1): one layer of libraries, one of the program. The same
//! inputs give the same bytes, so a digest says what is inside.

mod definition;
mod dockerfile;
mod layer;
mod oci;
mod packages;
mod sbom;

use crate::build::{Builder, root, target_dir};
use crate::cache::{Cache, key};
use crate::setup::libtorch;
use crate::{proc, say};
use anyhow::{Context, Result, bail};
use definition::{Definition, Image};
use layer::{Entry, Layer};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the libraries of libtorch lie in an image.
const LIBTORCH: &str = "opt/libtorch/lib";

/// Options of `images`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask images                  build every image, from release programs, into target/images\n  \
    cargo xtask images trainer --dev    one of them, from the programs the tests use\n  \
    cargo xtask images --programs DIR   from programs that were built before, as they lie in DIR\n  \
    cargo xtask images --dockerfiles    write images/*.Dockerfile from the definition\n\n\
    Load one:  ctr -n k8s.io images import target/images/trainer.tar   (containerd)\n           \
    docker load -i target/images/trainer.tar                 (Docker 25 or newer)")]
pub struct Args {
    /// Which images; all without a name
    names: Vec<String>,
    /// From the programs that tests use (`cargo build`): quicker to build, larger
    #[arg(long)]
    dev: bool,
    /// Build no program: take them from this folder
    #[arg(long, value_name = "DIR", conflicts_with = "dev")]
    programs: Option<PathBuf>,
    /// Folder for the archives
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the Dockerfiles and build nothing
    #[arg(long, conflicts_with_all = ["names", "dev", "programs", "out"])]
    dockerfiles: bool,
}

/// Builds what was asked for.
pub fn run(args: &Args) -> Result<()> {
    let definition = Definition::read(&root().join("images/images.toml"))?;
    if args.dockerfiles {
        for image in &definition.image {
            let path = root().join(format!("images/{}.Dockerfile", image.name));
            fs::write(&path, dockerfile::text(&definition, image))
                .with_context(|| format!("cannot write {}", path.display()))?;
            say::good(&format!("images/{}.Dockerfile", image.name));
        }
        return Ok(());
    }
    let images = definition.chosen(&args.names)?;
    let cache = Cache::open()?;
    let out = args.out.clone().unwrap_or_else(|| target_dir().join("images"));
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    for image in images {
        let program = match &args.programs {
            Some(folder) => folder.join(&image.program),
            None => build(&cache, image, args.dev)?,
        };
        let made = make(&cache, &definition, image, &program, &out)?;
        say::good(&format!(
            "{} ({}), {}, digest {}",
            made.archive.display(),
            made.reference,
            say::bytes(fs::metadata(&made.archive).map_or(0, |m| m.len())),
            made.digest
        ));
    }
    Ok(())
}

/// Builds the program of `image` and returns where it lies. Of one that needs no libtorch its package alone, which fetches none.
fn build(cache: &Cache, image: &Image, dev: bool) -> Result<PathBuf> {
    let profile = if dev { "debug" } else { "release" };
    say::line(&format!("building {} ({profile})", image.program));
    // Kept until cargo is done: it holds the build folder.
    let builder = if image.libtorch { Builder::prepare(cache)? } else { Builder::plain(cache)? };
    if image.libtorch && dev {
        return Ok(builder.programs()?.join(&image.program));
    }
    let mut cargo = builder.cargo();
    cargo.args(["build", "--locked"]);
    cargo.args((!dev).then_some("--release"));
    if !image.libtorch {
        cargo.args(["--package", &image.program]);
    }
    proc::run(&mut cargo, &format!("build {}", image.program))?;
    Ok(target_dir().join(profile).join(&image.program))
}

/// An image that was made.
struct Made {
    archive: PathBuf,
    reference: String,
    digest: String,
}

fn make(cache: &Cache, definition: &Definition, image: &Image, program: &Path, out: &Path) -> Result<Made> {
    let torch = if image.libtorch { Some(libtorch::install(cache)?) } else { None };
    let libraries = libraries(cache, definition, image, torch.as_deref())?;
    let sbom = sbom::text(definition, image)?;
    let stripped = out.join(format!(".{}-stripped", image.name));
    strip(program, &stripped)?;
    let entries = vec![
        Entry::file(format!("usr/bin/{}", image.program), &stripped, 0o755),
        Entry::text(format!("usr/share/doc/{}/sbom.spdx.json", image.program), sbom.clone()),
        Entry::copy(format!("usr/share/doc/{}/LICENSE", image.program), root().join("LICENSE")),
    ];
    let program_layer = Layer::write(&entries, &out.join(format!(".{}-program.tar.gz", image.name)))?;
    fs::remove_file(&stripped).with_context(|| format!("cannot remove {}", stripped.display()))?;
    let reference = format!("coalition.local/{}:{}", image.name, env!("CARGO_PKG_VERSION"));
    let archive = out.join(format!("{}.tar", image.name));
    let config = oci::Config { definition, image, libtorch: torch.is_some().then_some(LIBTORCH) };
    let digest = oci::archive(&config, &[&libraries, &program_layer], &reference, &archive)?;
    fs::write(out.join(format!("{}.spdx.json", image.name)), sbom).context("cannot write the bill of materials")?;
    program_layer.remove()?;
    if let Some(most) = image.max_megabytes {
        let size = fs::metadata(&archive).context("the archive is gone")?.len();
        if size > most * 1_000_000 {
            bail!("{} is {}, more than the {most} MB that images.toml allows it", archive.display(), say::bytes(size));
        }
    }
    Ok(Made { archive, reference, digest })
}

/// The program without its symbol tables: they are two thirds of it.
fn strip(program: &Path, to: &Path) -> Result<()> {
    let mut strip = std::process::Command::new("strip");
    strip.arg("-o").arg(to).arg(program);
    proc::run(&mut strip, "strip the program").context("`strip` comes with binutils (apt-get install binutils)")
}

/// The layer that changes only with the pins: made once and kept in the cache, for libtorch takes half a minute to compress.
fn libraries(cache: &Cache, definition: &Definition, image: &Image, torch: Option<&Path>) -> Result<Layer> {
    let packages = definition.packages_of(image)?;
    let torch_name = torch.and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let pins: Vec<String> = packages.iter().map(|p| format!("{} {}", p.sha256, p.take.join(" "))).collect();
    let made_from =
        format!("{}\n{torch_name}\nuser {}\nlayer format {}", pins.join("\n"), definition.user, layer::FORMAT);
    let name = format!("layer-{}-{}", image.name, key([made_from.as_bytes()]));
    let entry = cache.install(&name, &made_from, |at| {
        say::line(&format!("making the layer of libraries of {} (once)", image.name));
        let mut entries = base(definition.user);
        for package in &packages {
            entries.extend(packages::entries(package, &at.join("unpacked"))?);
        }
        if let Some(torch) = torch {
            let lib = torch.join("lib");
            for file in fs::read_dir(&lib).with_context(|| format!("cannot list {}", lib.display()))? {
                let path = file?.path();
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                entries.push(Entry::file(format!("{LIBTORCH}/{name}"), &path, 0o755));
            }
        }
        Layer::write(&entries, &at.join("layer.tar.gz"))?;
        match fs::remove_dir_all(at.join("unpacked")) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context("cannot remove unpacked packages"),
            _ => Ok(()),
        }
    })?;
    Layer::read(&entry.join("layer.tar.gz"))
}

/// What a C library and a kubelet expect of any root file system: the user, and a place for temporary files to be mounted.
fn base(user: u32) -> Vec<Entry> {
    vec![
        Entry::text(
            "etc/passwd".to_owned(),
            format!("root:x:0:0:root:/:/sbin/nologin\ncoalition:x:{user}:{user}::/:/sbin/nologin\n"),
        ),
        Entry::text("etc/group".to_owned(), format!("root:x:0:\ncoalition:x:{user}:\n")),
        Entry::text("etc/nsswitch.conf".to_owned(), "hosts: files dns\n".to_owned()),
        Entry::folder("tmp".to_owned(), 0o1777),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dockerfiles_are_those_of_the_definition() {
        let definition = Definition::read(&root().join("images/images.toml")).unwrap();
        for image in &definition.image {
            let path = root().join(format!("images/{}.Dockerfile", image.name));
            let there = fs::read_to_string(&path).unwrap_or_default();
            let wanted = dockerfile::text(&definition, image);
            assert_eq!(there, wanted, "{}: run `cargo xtask images --dockerfiles`", path.display());
        }
    }
}
