#!/bin/bash
# One scheduler and 16 workers in one allocation: sbatch slurm.sh /path/to/cells.zarr
#SBATCH --ntasks=18
#SBATCH --cpus-per-task=1
#SBATCH --mem-per-cpu=4G
#SBATCH --time=12:00:00
set -euo pipefail

store=$1
shared=$(dirname "$store")
address=$shared/scheduler-$SLURM_JOB_ID.json
# On a disk that all see: parts of a run that was stopped lie here.
export SCBIOVERSE_CACHE_DIR=$shared/scbioverse OMP_NUM_THREADS=1 SCBIOVERSE_OFFLINE=1

srun --exact --ntasks=1 dask scheduler --scheduler-file "$address" &
srun --exact --ntasks=16 dask worker --scheduler-file "$address" --nthreads 1 --memory-limit 3GiB &
until [ -s "$address" ]; do sleep 1; done
here=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' "$address")
srun --exact --ntasks=1 python annotate.py "$here" "$store"
