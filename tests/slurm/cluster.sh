#!/usr/bin/env bash
# A single-node Slurm for tests, independent of any Slurm on the machine, without root or systemd:
#   bash tests/slurm/cluster.sh start FOLDER PORT     then export SLURM_CONF=FOLDER/slurm.conf
#   bash tests/slurm/cluster.sh stop FOLDER
# PORT and the next one must be free. Needs on Debian or Ubuntu: apt-get install slurm-wlm munge
set -euo pipefail
if [ $# -lt 2 ]; then sed -n '2,5p' "$0" >&2; exit 2; fi
action=$1 folder=$(realpath "$2") port=${3:-16817}
export PATH=$PATH:/usr/sbin SLURM_CONF=$folder/slurm.conf

stop() {
  if [ -f "$folder/slurmctld.pid" ]; then # jobs would outlive it
    scancel --user "$(id -un)" || true
    for _ in $(seq 40); do
      if [ -z "$(squeue -h 2> /dev/null)" ]; then break; fi
      sleep 0.5
    done
  fi
  for name in slurmd slurmctld munged; do
    if [ -f "$folder/$name.pid" ]; then kill "$(cat "$folder/$name.pid")" 2> /dev/null || true; fi
  done
}

if [ "$action" = stop ]; then stop; exit; fi
mkdir -p "$folder"/{state,spool}
chmod 755 "$folder"
head -c 128 /dev/urandom > "$folder/munge.key"
chmod 600 "$folder/munge.key"
cat > "$SLURM_CONF" << END
ClusterName=tests
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthInfo=socket=$folder/munge.socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=5
GresTypes=gpu
NodeName=$(hostname) NodeAddr=127.0.0.1 CPUs=16 Gres=gpu:2
PartitionName=test Nodes=ALL Default=YES
END
touch "$folder"/gpu{0,1} # not real devices: processes find no GPU and run on the CPU
echo "Name=gpu File=$folder/gpu[0-1]" > "$folder/gres.conf"
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
  --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
slurmctld
slurmd
for _ in $(seq 60); do
  if [ "$(sinfo -h -o %T 2> /dev/null)" = idle ]; then exit; fi
  sleep 0.5
done
echo "Slurm did not start; the logs are in $folder." >&2
stop
exit 1
