# Coalition's trainer: supervisor and worker, CPU.
#
# Written by `cargo xtask images --dockerfiles` from images.toml: change that. No check of this project builds it, for
# they have no Docker; the same image without Docker: `cargo xtask images`.
#
#   docker build -f images/trainer.Dockerfile -t coalition-trainer .
FROM rust:1.95.0-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-pip && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ENV COALITION_CACHE=/cache
RUN cargo xtask setup --build
RUN cargo build --locked --release
RUN strip target/release/coalition-trainer

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends --allow-downgrades libc6=2.36-9+deb12u14 libgcc-s1=12.2.0-14+deb12u1 libstdc++6=12.2.0-14+deb12u1 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/.libtorch/lib /opt/libtorch/lib
COPY --from=build /src/target/release/coalition-trainer /usr/bin/coalition-trainer
COPY LICENSE /usr/share/doc/coalition-trainer/LICENSE
ENV PATH=/usr/bin
ENV LD_LIBRARY_PATH=/opt/libtorch/lib
USER 65532:65532
ENTRYPOINT ["coalition-trainer"]
