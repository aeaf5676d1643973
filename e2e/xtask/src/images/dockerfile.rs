//! A Dockerfile for an image of the definition, for people who have Docker. The checks of this project have none, so what is
//! written here has never been built by them, and says so.

use super::definition::{Definition, Image};
use super::oci::Config;

/// The text of `images/NAME.Dockerfile`.
pub fn text(definition: &Definition, image: &Image) -> String {
    let config = Config { definition, image, libtorch: image.libtorch.then_some(super::LIBTORCH) };
    let packages: Vec<String> = definition
        .package
        .iter()
        .filter(|p| image.packages.contains(&p.name))
        .map(|p| format!("{}={}", p.name, p.version))
        .collect();
    let mut lines = vec![
        format!("# {}.", image.description),
        "#".to_owned(),
        "# Written by `cargo xtask images --dockerfiles` from images.toml: change that. No check of this project builds it, for".to_owned(),
        "# they have no Docker; the same image without Docker: `cargo xtask images`.".to_owned(),
        "#".to_owned(),
        format!("#   docker build -f images/{0}.Dockerfile -t coalition-{0} .", image.name),
        "FROM rust:1.95.0-bookworm AS build".to_owned(),
    ];
    if image.libtorch {
        lines.push(
            "RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-pip && rm -rf /var/lib/apt/lists/*"
                .to_owned(),
        );
    }
    lines.extend(["WORKDIR /src".to_owned(), "COPY . .".to_owned()]);
    if image.libtorch {
        lines.push("ENV COALITION_CACHE=/cache".to_owned());
        lines.push("RUN cargo xtask setup --build".to_owned());
    }
    let package = if image.libtorch { String::new() } else { format!(" --package {}", image.program) };
    lines.push(format!("RUN cargo build --locked --release{package}"));
    lines.push(format!("RUN strip target/release/{}", image.program));
    lines.push(String::new());
    lines.push(format!("FROM {}", if packages.is_empty() { "scratch" } else { "debian:bookworm-slim" }));
    if !packages.is_empty() {
        lines.push(format!(
            "RUN apt-get update && apt-get install -y --no-install-recommends --allow-downgrades {} && rm -rf /var/lib/apt/lists/*",
            packages.join(" ")
        ));
    }
    if let Some(folder) = config.libtorch {
        lines.push(format!("COPY --from=build /src/.libtorch/lib /{folder}"));
    }
    lines.push(format!("COPY --from=build /src/target/release/{0} /usr/bin/{0}", image.program));
    lines.push(format!("COPY LICENSE /usr/share/doc/{}/LICENSE", image.program));
    lines.extend(config.environment().into_iter().map(|(k, v)| format!("ENV {k}={v}")));
    lines.push(format!("USER {0}:{0}", definition.user));
    let command: Vec<String> = image.command.iter().map(|c| format!("\"{c}\"")).collect();
    lines.push(format!("ENTRYPOINT [{}]", command.join(", ")));
    lines.join("\n") + "\n"
}
