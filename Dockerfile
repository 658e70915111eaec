# syntax=docker/dockerfile:1
# Images of the two planes: docker build --target data-plane . ; docker build --target control-plane .

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --bin luthien-data-plane --bin luthien-control-plane \
    && install -D -t /out target/dist/luthien-data-plane target/dist/luthien-control-plane

FROM debian:bookworm-slim AS plane
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/luthien --create-home luthien
COPY --chmod=755 compose/healthy /usr/local/bin/healthy
USER luthien
WORKDIR /var/lib/luthien

FROM plane AS data-plane
COPY --from=build /out/luthien-data-plane /usr/local/bin/
EXPOSE 8000
ENTRYPOINT ["luthien-data-plane"]

FROM plane AS control-plane
COPY --from=build /out/luthien-control-plane /usr/local/bin/
VOLUME /var/lib/luthien
EXPOSE 50051 8001
ENTRYPOINT ["luthien-control-plane"]
