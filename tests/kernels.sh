#!/usr/bin/env bash
# Run the numeric tests as other processors would: kernels for other instruction sets, sums in other orders.
# usage: tests/kernels.sh [pytest arguments]
#   tests/kernels.sh                          # nn llm encoders models train tl pl, under each setting in turn
#   tests/kernels.sh tests/encoders -x        # what you name
#   SETTINGS="avx2 threads" tests/kernels.sh  # some of the settings
# Torch, oneDNN, MKL and OpenBLAS take these variables at their start, so that each setting is a process of its own. The
# last line of each says what failed; the exit code is that of the worst.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -gt 0 ] || set -- tests/nn tests/llm tests/encoders tests/models tests/train tests/tl tests/pl
python=${PYTHON:-python}
worst=0

run() {
  local name=$1
  shift
  case " ${SETTINGS:-$name} " in *" $name "*) ;; *) return ;; esac
  echo "=== $name"
  env "$@" "$python" -m pytest -q -p no:cacheprovider "${arguments[@]}" || worst=1
}
arguments=("$@")

# No vectors at all: every sum in plain order, every library.
run plain OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE OPENBLAS_CORETYPE=Prescott
# A processor with AVX2 only.
run avx2 OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_CBWR=AVX2 OPENBLAS_CORETYPE=Haswell
# Whatever this processor has, sums split over two threads.
run threads OMP_NUM_THREADS=2 MKL_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2
exit "$worst"
