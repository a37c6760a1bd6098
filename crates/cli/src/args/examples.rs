//! What help shows below the options: examples to copy.

use crate::exit::Exit;

pub(super) fn overview() -> String {
    format!(
        "\
Examples:
  export NIGHTJAR_REPOSITORY=/srv/backup
  nightjar init
  nightjar backup --name orders.sql -- pg_dump -Z0 orders
  nightjar snapshot list
  nightjar restore latest -- psql orders_copy

`nightjar COMMAND --help` explains each command.

{}
The exit codes and the fields of --json stay the same from version to version.",
        Exit::table()
    )
}

pub(super) const INIT: &str = "\
Examples:
  nightjar --repository /srv/backup init
      asks twice for a passphrase
  nightjar --repository /srv/backup --key-file /etc/nightjar/key init
      makes the key file: copy it to a safe place
  nightjar -r /srv/backup --password-command 'pass show backup' init --label admin
  nightjar -r offsite init
      offsite is a name in nightjar.toml";

pub(super) const GC: &str = "\
Examples:
  nightjar gc --dry-run
  nightjar gc
      once a day, after `nightjar snapshot forget`; may run beside backups
  nightjar gc --max-time 2h --max-repack 50GiB
  nightjar gc --max-unused 0%
      frees every byte, and moves more for it

With --json: plan (packs by reason, bytes_gone, bytes_to_move, bytes_freed, bytes_kept,
bytes_unused), rounds, bytes_moved, bytes_freed, packs_deleted, waiting, undeleted, requests and
more.";

pub(super) const REPLICATE_USAGE: &str = "\
nightjar replicate [OPTIONS] [TARGET]...
       nightjar replicate status [TARGET]...";

pub(super) const REPLICATE: &str = "\
Examples:
  nightjar replicate /mnt/offsite
      after each backup, or beside them
  nightjar -r s3://backups/db replicate s3://backups-in-ireland/db --without-key
  nightjar -r orders replicate
      to all that `replicas` names in nightjar.toml; a target with an endpoint or credentials of its
      own needs a name there
  nightjar replicate /mnt/small --series orders --series 'web-*'
      these series only, and of packs those that they need
  nightjar -r /mnt/offsite restore latest --to restored
  nightjar -r /mnt/offsite snapshot verify --all
      a replica is read like any repository

--limit-download holds for the repository, --limit-upload for the targets. A target that fails does
not keep others from being filled.

With --json, an array with, for each target, target, series (null for all), first, dry_run, copied
(objects and bytes by kind), objects, bytes, damaged and requests; or error.";

pub(super) const REPLICATE_STATUS: &str = "\
Examples:
  nightjar replicate status /mnt/offsite
  nightjar -r orders replicate status --json | jq '.[] | {target, lag_seconds}'

With --json, an array with, for each target, target, series (of which what is missing is counted;
null for all), usable, snapshots, lag_snapshots, lag_bytes, lag_objects, lag_seconds (0 if nothing is
missing), newest_snapshot, only_there_objects and only_there_bytes (forgotten or collected in the
repository since); or error.";

pub(super) const REPLICA_PROMOTE: &str = "\
Examples:
  nightjar -r s3://backups-in-ireland/db replica promote --dry-run
  nightjar -r s3://backups-in-ireland/db replica promote --reason 'eu-central is gone'
      then give that address to every machine
  nightjar -r s3://backups-in-ireland/db replicate s3://backups/db-2
  nightjar -r s3://backups/db-2 replica promote --reason 'eu-central is back'
      the way home: a replica in an empty place, and a promotion

Ends with exit code 4 if something that the replica should hold is damaged: it is promoted all the
same, and `nightjar snapshot verify` says what is hit.

With --json: repository, dry_run, record (the ledger's), incarnation, snapshots (how many),
newest_snapshot, back and stay_forgotten (ids), packs_back, records_behind and findings.";

pub(super) const SNAPSHOT: &str = "\
Examples:
  nightjar snapshot create --name orders.sql -- pg_dump -Z0 orders
  nightjar snapshot list --series orders.sql
  nightjar snapshot restore latest --to restored";

pub(super) const CREATE: &str = "\
Examples:
  nightjar backup --name orders.sql -- pg_dump -Z0 orders
      no snapshot if pg_dump fails
  pg_dump -Z0 orders | nightjar backup --stdin orders.sql \\
      --expect-tail 'PostgreSQL database dump complete'
  nightjar backup /etc /srv/www --series web --label reason=nightly
      stands in the snapshot as etc and srv/www
  nightjar backup . --series home -x --exclude-caches --exclude '*.tmp' --exclude /tmp
  find /srv -newer last -print0 | nightjar backup --series new --files-from0 -
  nightjar backup --tar --name cluster -- pg_basebackup -Ft -X fetch -D -
      each file of the cluster by itself
  nightjar backup --series shop --name shop.dump --min-size 100MB -- \\
      pg_dump -Fc -Z0 shop

Let the dump be uncompressed (-Z0): a compressed one hardly deduplicates.
With --json, what `snapshot show` gives, and requests, warnings, excluded and start: seconds and
requests before the source was read, which -v tells as well.
Sizes: KB, MB, GB count in thousands; KiB, MiB, GiB in 1024.";

pub(super) const LIST: &str = "\
Examples:
  nightjar snapshot list
  nightjar snapshot list --series orders.sql
  nightjar snapshot list --json | jq -r '.[-1].id'

With --json, an array of objects with id, series, time, host, bytes_read, bytes_added and more.";

pub(super) const SHOW: &str = "\
Examples:
  nightjar snapshot show 3f2a
  nightjar snapshot show latest --series orders.sql --json";

pub(super) const LS: &str = "\
Examples:
  nightjar snapshot ls latest
  nightjar snapshot ls latest --depth 2
  nightjar snapshot ls 3f2a etc/postgresql --long
  nightjar snapshot ls latest --json | jq -r '.[] | select(.size > 1000000) | .path'

With --json, an array of objects with path, kind, mode, uid, gid, user, group, modified, and where
they apply size, changed_while_read, hole_bytes, target, major, minor, hard_link, attributes, inode,
changed. What is not UTF-8 stands beside its text in hexadecimal: path_bytes, name_bytes and so on.";

pub(super) const CAT: &str = "\
Examples:
  nightjar snapshot cat latest etc/hosts
  nightjar snapshot cat latest --series etc etc/hosts | diff - /etc/hosts
  nightjar snapshot cat 3f2a orders.sql | psql orders_copy
      better: `nightjar restore 3f2a -- psql orders_copy`, which stops psql at damage";

pub(super) const FIND: &str = "\
Examples:
  nightjar snapshot find postgresql.conf
  nightjar snapshot find '*.conf' --snapshot latest --series etc
  nightjar snapshot find 'etc/**/*.conf' 'srv/*/secret' --long
  nightjar snapshot find 'invoice*2024*' --ignore-case --kind file --json | jq -r '.[-1].snapshot'

With --json, an array of objects with snapshot, series, time and the fields of `snapshot ls`.";

pub(super) const RESTORE: &str = "\
Examples:
  nightjar restore latest --series orders.sql -- psql orders_copy
      fails if psql fails
  nightjar restore 3f2a --to restored
  nightjar restore 3f2a --to restored etc/postgresql
  nightjar restore 3f2a --to restored --overwrite if-changed
      goes on with a restore that was interrupted
  nightjar restore latest --subtree srv/www --to /srv/www --overwrite always --delete --dry-run
      says what it would take to make /srv/www what it was
  nightjar restore latest --to restored --verify
  nightjar restore latest --stdout | sha256sum
  nightjar restore latest --series web --tar -- \\
      ssh web2 tar --xattrs --xattrs-include='*' -xpf - -C /srv

The exit code is 4 if something could not be restored because it is damaged, and 1 if only for
other reasons.";

pub(super) const VERIFY: &str = "\
Examples:
  nightjar snapshot verify --all
  nightjar snapshot verify latest --series orders.sql --level data
  nightjar snapshot verify 3f2a 77c0 --level presence
  nightjar snapshot verify --all --sample 5%
      every night: after twenty nights all was checked once
  nightjar --limit-download 20MB snapshot verify --all --older-than 30d --time-limit 2h

Levels: presence looks whether everything is there; packs reads every byte and needs no key to
the data; data decrypts and decodes as a restore does. `nightjar status` shows what was checked.

With --json: level, snapshots, packs, snapshots_in_scope, packs_in_scope, references, blobs, bytes,
complete, out_of_time, coverage (packs, data, snapshots: total, checked, never_checked, share, bytes,
bytes_checked, bytes_share, oldest, oldest_age_seconds, newest, newest_age_seconds), findings (object,
problem, snapshots, more_snapshots, blobs, blob_ids), hits (snapshot, series, time, paths, more_paths),
recorded_damaged, recorded_repaired, unrecorded, requests.";

pub(super) const DIFF: &str = "\
Examples:
  nightjar snapshot diff 3f2a 77c0
  nightjar snapshot diff 3f2a latest --series web srv/www --no-metadata
  nightjar snapshot diff 3f2a 77c0 --json | jq -r '.[] | select(.change == \"added\") | .path'

With --json, an array of objects with path, change (added, removed, renamed, modified, metadata),
kind, metadata (mode, owner, group, modified, attributes, hard_link), and where they apply old_path,
old_kind, new_kind, old_size, new_size; the summary is an event on standard error.";

pub(super) const FORGET: &str = "\
Examples:
  nightjar snapshot forget 3f2a --reason 'made by mistake'
  nightjar snapshot forget 3f2a 77c0 --erase --reason 'holds data that has to go'";

pub(super) const REWRITE: &str = "\
Examples:
  nightjar snapshot rewrite --all --exclude home/anna --dry-run
  nightjar snapshot rewrite --series home --exclude home/anna --reason 'request of 2 May'
  nightjar snapshot rewrite 3f2a 77c0 -e '*.key' -e /srv/cache --reason 'stored by mistake'
      then `nightjar gc`, and `nightjar ledger show` has the record that it is gone";

pub(super) const HOLD: &str = "\
Examples:
  nightjar snapshot hold 3f2a --reason 'evidence for the court'
  nightjar snapshot hold latest --series orders.sql --until 90d --reason 'before the migration'
  nightjar snapshot hold 3f2a 77c0 --until 2026-12-31 --reason audit

`nightjar snapshot list` shows what is held.";

pub(super) const RELEASE: &str = "\
Examples:
  nightjar snapshot release 3f2a --reason 'the case is closed'";

pub(super) const ACCEPT: &str = "\
Examples:
  nightjar snapshot accept 3f2a --reason 'the audit table was dropped'";

pub(super) const RETENTION: &str = "\
Examples:
  nightjar retention plan --preset standard
  nightjar retention apply

In nightjar.toml (the first policy whose pattern fits a series is its policy):
  [retention]
  time-zone = \"Europe/Berlin\"

  [[retention.policy]]
  series = \"orders-*\"
  preset = \"standard\"
  keep-at-least = 10
  slots = [\"db1\"]

  [[retention.policy]]
  series = [\"web\", \"mail\"]
  keep-daily = 14
  keep-weekly-within = \"90d\"";

pub(super) const RETENTION_PLAN: &str = "\
Examples:
  nightjar retention plan
      by the policies in nightjar.toml
  nightjar retention plan --series 'orders-*' --preset 1y --keep-last 7
  nightjar retention plan --keep-daily 30 --keep-weekly-within 90d --keep-monthly-within 1y
  nightjar retention plan --json | jq -r '.series[].snapshots[] | select(.action == \"forget\") | .id'

With --json: time_zone, series (objects with series, policy, keep, forget, out_of_line and snapshots:
id, time, stored, slot, bytes, action (keep, forget), reasons (objects with rule and text)), keep,
forget, warnings. Of the snapshots of an hour, day, week, month or year the newest stays; stretches of
time count back from the newest snapshot of the series.";

pub(super) const RETENTION_APPLY: &str = "\
Examples:
  nightjar retention apply
      by the policies in nightjar.toml
  nightjar retention apply --series orders.sql --keep-daily 30 --keep-at-least 10
  nightjar retention apply --dry-run

With --json: what `nightjar retention plan` shows, and forgotten (ids), kept (ids that stay after all:
somebody held them meanwhile), ledger_records.";

pub(super) const LEDGER_SHOW: &str = "\
Examples:
  nightjar ledger show
  nightjar ledger show --last 20
  nightjar ledger show --json | jq '.records[] | select(.kind == \"forget\")'

With --json: incarnation, head, records (objects with number, time, slot, slot_label, kind, and where
they apply snapshots, until, series, up_to, who, why, packs, condemned, epoch, member), findings.";

pub(super) const KEY: &str = "\
Examples:
  nightjar key list
  nightjar key add --role write --label db1 --new-key-file /etc/nightjar/db1.key
  nightjar key remove 9c1e";

pub(super) const KEY_ADD: &str = "\
Examples:
  nightjar key add --label anna
      asks for your passphrase, then twice for hers
  nightjar key add --role write --label db1 --new-key-file db1.key
      makes db1.key: a host that has it can back up, but read no backup
  nightjar key add --label safe --new-password-file recovery.txt";

pub(super) const KEY_LIST: &str = "\
Examples:
  nightjar key list
  nightjar key list --json";

pub(super) const KEY_REMOVE: &str = "\
Examples:
  nightjar key remove 9c1e";

pub(super) const INDEX_REBUILD: &str = "\
Examples:
  nightjar index rebuild
  nightjar index rebuild --from-packs
      when index objects were lost";

pub(super) const INDEX_STATUS: &str = "\
Examples:
  nightjar index status";

pub(super) const REPAIR: &str = "\
Examples:
  nightjar repair --from offsite --dry-run
      offsite is a name in nightjar.toml
  nightjar repair --from s3://backups-copy/orders --check
      reads all packs here, to find those that were altered
  nightjar repair index
      when index objects were lost and no copy has them
  nightjar repair snapshots --all --dry-run
      when nothing has what is lost

With --json: dry_run, from, objects (with object, kind, problem (missing or damaged), means (copy, or
sealed: made from the repairer's keys), bytes), bytes, suspects and repaired (packs recorded as damaged:
those that are looked at again, and those that may be relied on again), packs_read, left (objects with
object and problem), requests.";

pub(super) const REPAIR_INDEX: &str = "\
Examples:
  nightjar repair index --dry-run
  nightjar repair index
  nightjar repair index --delete-damaged

With --json: dry_run, packs and bytes to be listed, busy (packs of backups under way), damaged (index
objects with object, problem, deletable), written and deleted (index objects), packs_listed, blobs, left
(objects with object and problem), requests.";

pub(super) const REPAIR_SNAPSHOTS: &str = "\
Examples:
  nightjar repair snapshots --all --dry-run
  nightjar repair snapshots 3f2a
  nightjar repair snapshots --series home
      then `nightjar snapshot forget` for the originals, when nobody misses what they lost

With --json: dry_run, snapshots (objects with original, snapshot, was_there, series, time, left_out
(objects with path, directory, problem), files, bytes_added), whole (snapshots that lost nothing), left
(objects with object and problem), requests.";

pub(super) const STATUS: &str = "\
Examples:
  nightjar status
  nightjar status --json | jq .bytes_stored
  nightjar status --json | jq .coverage.data.bytes_share

The exit code is 4 if a snapshot rests on a pack that is damaged or missing. With --json, `coverage` is as `snapshot verify` has
it, and `damage` holds packs (pack, problem, blobs, snapshots) and hits.";

pub(super) const DOCTOR: &str = "\
Examples:
  nightjar doctor
  nightjar -r s3://backups/db --region eu-central-1 doctor
      before `nightjar init`: is this going to work?
  nightjar doctor --json | jq -r '.checks[] | select(.state == \"failed\") | .found'

The exit code is 0 if nothing failed, warnings or not; 1 if something did; 4 if there is damage.

With --json: url, checks (objects with name, state, found, advice), the numbers of checks that are
ok, skipped, warnings, failed and damaged; latency_seconds, clock_skew_seconds, conditional_create,
cache_free_bytes and store_free_bytes where they could be told. States: ok, skipped, warning, failed,
damage. Names: configuration, reach, list, latency, create, replace, read, range, clock, conditions,
delete, repository, recorded, key, ledger, sessions, cache, cache_space, store_space.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  nightjar completions bash > ~/.local/share/bash-completion/completions/nightjar
  nightjar completions zsh > ~/.zfunc/_nightjar
  nightjar completions fish > ~/.config/fish/completions/nightjar.fish";

pub(super) const CREATE_USAGE: &str = "\
nightjar snapshot create [OPTIONS] PATH...
       nightjar snapshot create [OPTIONS] --stdin NAME
       nightjar snapshot create [OPTIONS] --name NAME -- COMMAND [ARG]...
       nightjar snapshot create [OPTIONS] --tar (--stdin NAME | --name NAME -- COMMAND)";

pub(super) const BACKUP_USAGE: &str = "\
nightjar backup [OPTIONS] PATH...
       nightjar backup [OPTIONS] --stdin NAME
       nightjar backup [OPTIONS] --name NAME -- COMMAND [ARG]...
       nightjar backup [OPTIONS] --tar (--stdin NAME | --name NAME -- COMMAND)";

pub(super) const SNAPSHOT_RESTORE_USAGE: &str = "\
nightjar snapshot restore [OPTIONS] ID --to DIR [PATH]...
       nightjar snapshot restore [OPTIONS] ID --stdout [PATH]
       nightjar snapshot restore [OPTIONS] ID [PATH] -- COMMAND [ARG]...
       nightjar snapshot restore [OPTIONS] ID --tar [PATH]... (--stdout | -- COMMAND)";

pub(super) const RESTORE_USAGE: &str = "\
nightjar restore [OPTIONS] ID --to DIR [PATH]...
       nightjar restore [OPTIONS] ID --stdout [PATH]
       nightjar restore [OPTIONS] ID [PATH] -- COMMAND [ARG]...
       nightjar restore [OPTIONS] ID --tar [PATH]... (--stdout | -- COMMAND)";
