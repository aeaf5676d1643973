# Coalition's operator: the hub, or a site with its courier.
#
# Written by `cargo xtask images --dockerfiles` from images.toml: change that. No check of this project builds it, for
# they have no Docker; the same image without Docker: `cargo xtask images`.
#
#   docker build -f images/operator.Dockerfile -t coalition-operator .
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release --package coalition-operator
RUN strip target/release/coalition-operator

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends --allow-downgrades libc6=2.36-9+deb12u14 libgcc-s1=12.2.0-14+deb12u1 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/coalition-operator /usr/bin/coalition-operator
COPY LICENSE /usr/share/doc/coalition-operator/LICENSE
ENV PATH=/usr/bin
USER 65532:65532
ENTRYPOINT ["coalition-operator"]
