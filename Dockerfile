# onespace: docker build -t onespace .
#   Labels: --build-arg VERSION=0.2.0 --build-arg REVISION="$(git rev-parse HEAD)"
#   The same base image every time: --build-arg BASE=node:22-bookworm-slim@sha256:... with the digest that
#   `docker buildx imagetools inspect node:22-bookworm-slim` prints.
#   GPU: docker build -t onespace:cuda --build-arg CUDA=1 --build-arg BASE=nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04 .

ARG BASE=node:22-bookworm-slim

FROM node:22-bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ libfaiss-dev libopenblas-dev
# No telemetry of any library, in the build and in the image (src/lib/no-telemetry.ts).
ENV ORT_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_TELEMETRY=1 DO_NOT_TRACK=1
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY deploy/setup.mjs deploy/
RUN node deploy/setup.mjs packages faiss
COPY tsconfig.json ./
COPY src src
COPY routes routes
RUN node deploy/setup.mjs build
# The CUDA execution provider is not in the npm package: it is 300 MB more, fetched from NuGet.
ARG CUDA=
RUN if [ -n "$CUDA" ]; then node node_modules/onnxruntime-node/script/install.js --onnxruntime-node-install=cuda12; fi
# Removes what only a build needs, and the other platforms' binaries of ONNX Runtime.
RUN npm prune --omit=dev \
 && find node_modules/onnxruntime-node/bin -mindepth 2 -maxdepth 2 -type d ! -name linux -exec rm -r {} + \
 && find node_modules/onnxruntime-node/bin/*/linux -mindepth 1 -maxdepth 1 ! -name "$(node -p process.arch)" -exec rm -r {} + \
 && node -e "require('faiss-node'); require('sharp'); require('onnxruntime-node')"

FROM ${BASE}
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="onespace" \
      org.opencontainers.image.description="Text, images and video in one vector space: embed, store and search over HTTP." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN apt-get update \
 && apt-get install -y --no-install-recommends ffmpeg libopenblas0-pthread libgomp1 tini \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/node /usr/local/bin/node
WORKDIR /app
COPY package.json LICENSE NOTICE ./
COPY models models
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
RUN mkdir /data && chown 1000:1000 /data
USER 1000:1000
ENV ORT_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_TELEMETRY=1 DO_NOT_TRACK=1
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8000 DATA_DIR=/data MODELS_DIR=/data/models
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# What acts on this check replaces the container, so it asks whether the process is alive; balancers ask /readyz.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/livez`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# The kernel drops a signal for process 1 that has no handler yet: tini is ready at once, Node after up to a second.
ENTRYPOINT ["tini", "--"]
CMD ["node", "--enable-source-maps", "dist/src/main.js"]
