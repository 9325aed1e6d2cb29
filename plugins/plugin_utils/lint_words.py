# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The words that Compose and Docker Engine know."""

from __future__ import annotations


def _words(text):
    return frozenset(text.split())


# Of a service: https://github.com/compose-spec/compose-spec/blob/main/schema/compose-spec.json
KEYS = _words(
    """
    annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name
    cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset
    credential_spec depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname
    entrypoint env_file environment expose extends external_links extra_hosts gpus group_add healthcheck
    hostname image init ipc isolation label_file labels links logging mac_address mem_limit mem_reservation
    mem_swappiness memswap_limit models network_mode networks oom_kill_disable oom_score_adj pid pids_limit
    platform ports post_start pre_start pre_stop privileged profiles provider pull_policy pull_refresh_after
    read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal
    storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir
    """
)
# capabilities(7)
CAPABILITIES = _words(
    """
    ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE
    DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD
    NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN
    SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG
    WAKE_ALARM
    """
)
# signal(7), without SIG
SIGNALS = _words(
    """
    ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM
    TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ
    """
)
# https://docs.docker.com/reference/cli/docker/container/run/#ulimit
ULIMITS = _words(
    """
    as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack
    """
)
# Mount options of tmpfs, and those that every file system has: mount(8)
TMPFS = _words(
    """
    size mode uid gid nr_inodes nr_blocks ro rw exec noexec suid nosuid dev nodev sync async dirsync remount
    mand nomand atime noatime diratime nodiratime bind rbind private rprivate shared rshared slave rslave
    unbindable runbindable relatime norelatime strictatime nostrictatime mpol
    """
)
# https://docs.docker.com/engine/logging/configure/; plugins have a colon or a slash in their name
LOG_DRIVERS = _words(
    """
    awslogs fluentd gcplogs gelf journald json-file local none splunk syslog
    """
)
# Of the driver json-file, and those that every driver takes
LOG_OPTIONS = _words(
    """
    max-size max-file compress labels labels-regex env env-regex tag mode max-buffer-size cache-disabled
    cache-max-size cache-max-file cache-compress
    """
)
