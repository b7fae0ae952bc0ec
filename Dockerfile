# cropmap in a container, for the CPU:            docker build -t cropmap .
# for NVIDIA GPUs (names of uv's --torch-backend): docker build -t cropmap --build-arg TORCH_BACKEND=cu128 .
# A map of what lies in the current folder:        docker run --rm -v "$PWD:/data" cropmap predict --aoi ...
# with a GPU:                                      docker run --rm --gpus all -v "$PWD:/data" cropmap predict --aoi ...
FROM python:3.12-slim

ARG TORCH_BACKEND=cpu

# libexpat1: the wheels of rasterio need it, and slim images lack it.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libexpat1 \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY . .
RUN pip install --no-cache-dir uv \
 && uv pip install --system --no-cache --torch-backend "$TORCH_BACKEND" "torch==$(sed -n 's/^torch==//p' constraints.txt)" \
 && uv pip install --system --no-cache --constraint constraints.txt ".[fields,fast,gcs]" \
 && rm -rf /src

RUN useradd --create-home cropmap && mkdir /data && chown cropmap /data
USER cropmap
WORKDIR /data
ENTRYPOINT ["cropmap"]
CMD ["--help"]
