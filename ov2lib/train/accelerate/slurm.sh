#!/bin/bash
# One stage of the 8B on 32 machines of eight GPUs. Copy it, set the paths, and: sbatch slurm.sh
# Run its last command once with --prepare and without srun and accelerate first: the data are tokenized and packed then.
# Each machine starts one `accelerate launch`, and that eight processes. Sent again after a stop, the run resumes.
#SBATCH --job-name=ov2-stage3
#SBATCH --nodes=32
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=96
#SBATCH --time=24:00:00
set -euo pipefail

START=/data/ov2/stage2/model  # what the stage before left
CORPORA=/data/ov2/corpora     # one folder for each source of the stage, by its name; the data cards say how to get them
OUTPUT=/data/ov2/runs         # on a disk that all machines see

DATA=()
for folder in "$CORPORA"/*/; do
  DATA+=(--data "$(basename "$folder")=$folder")
done
CONFIG=$(python -c 'from ov2lib.train.launch import accelerate_config; print(accelerate_config("fsdp2_256"))')
MAIN=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export OMP_NUM_THREADS=8

# 256 processes: the global batch is 256 or a multiple, where the public scripts have 128 (an assumption, see the stage).
srun --kill-on-bad-exit=1 bash -c 'exec accelerate launch --machine_rank "$SLURM_NODEID" "$@"' launch \
  --config_file "$CONFIG" --num_machines "$SLURM_NNODES" --num_processes "$((SLURM_NNODES * 8))" \
  --main_process_ip "$MAIN" --main_process_port 29500 \
  -m ov2lib train --recipe stage3 --variant full --global-batch 256 \
  --from "$START" --output "$OUTPUT" "${DATA[@]}"
