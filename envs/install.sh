#!/bin/sh
# Installs the pinned packages into the Python that is active, as README.md does, without the project itself: a clone of
# it is there where the workflow runs. Both container definitions use it. Usage: sh install.sh FOLDER_OF_THE_PINS
set -eu
pip install --no-cache-dir -r "$1/requirements.txt"
grep -v -e '^#' -e '^-e' "$1/requirements-no-deps.txt" | pip install --no-cache-dir --no-deps -r /dev/stdin
