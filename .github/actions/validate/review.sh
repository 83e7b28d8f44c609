#!/usr/bin/env bash
# Installs Catwalk from this action's own checkout, so that pinning the action pins the program, and reviews the
# workspace with it. All inputs come through the environment and are never part of a command. Python runs isolated (-I):
# a file of the pull request that is named like a module is no module.
set -euo pipefail

python="${REVIEW_PYTHON:-}"
if [ -z "$python" ]; then
  home="${RUNNER_TEMP:?}/catwalk"
  python3 -I -m venv "$home"
  "$home/bin/python" -I -m pip install --quiet --disable-pip-version-check "$GITHUB_ACTION_PATH/../../.."
  python="$home/bin/python"
fi

options=(--directory "${REVIEW_DIRECTORY:-.}" --environment "${REVIEW_ENVIRONMENT:-}")
options+=(--control-plane "${REVIEW_CONTROL_PLANE:-}")
if [ -n "${REVIEW_SARIF:-}" ]; then options+=(--sarif "$REVIEW_SARIF"); fi
if [ "${REVIEW_COMMENT:-}" = true ]; then options+=(--comment); fi

cd "${GITHUB_WORKSPACE:?}"
exec "$python" -I -m reconciler.cli.review "${options[@]}"
