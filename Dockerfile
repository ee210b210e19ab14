# The course in a container: docker build -t transformers-by-hand . && docker run -p 8888:8888 transformers-by-hand
# JupyterLab prints the address to open. With --build-arg PIP_EXTRA_INDEX_URL=... pip looks for a
# CPU build of torch there; without, it installs the larger CUDA build.
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home learner
USER learner
WORKDIR /home/learner/course
COPY --chown=learner . .
ARG PIP_EXTRA_INDEX_URL
RUN make .venv/lab.ready
EXPOSE 8888
CMD ["make", "lab", "LAB=--no-browser --ip=0.0.0.0"]
