#!/bin/sh
# Proves that a backup can be put back: makes a ledger of a copy of it, reads it with this software, and holds it against the running one.
# Touches neither the backup nor the running ledger. Call it where `bridge` finds its settings.
#
#   deploy/restore-drill.sh FILE        FILE of `bridge backup`, or of `pg_dump --format=custom`
#
# A dump of PostgreSQL needs an empty database to be put into, named by DRILL_DATABASE_URL; what is in it will be replaced.
# Exit code 0: the backup is good. 1: it is not, and the last line says why. 2: wrong use.
set -eu

bridge=${BRIDGE:-bridge}
[ $# -eq 1 ] && [ -r "$1" ] || { echo "usage: $0 FILE (a backup that can be read)" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
bad() { echo "NOT GOOD: $*" >&2; exit 1; }

if [ "$(head -c 5 "$1")" = PGDMP ]; then
  : "${DRILL_DATABASE_URL:?an empty PostgreSQL database for the drill, such as postgresql://user@host/drill}"
  pg_restore --clean --if-exists --no-owner --exit-on-error --dbname="$DRILL_DATABASE_URL" "$1" || bad "pg_restore could not read it"
  copy=$DRILL_DATABASE_URL
else
  cp "$1" "$folder/bridge.db"
  copy=sqlite:///$folder/bridge.db
fi

$bridge export > "$folder/running.csv" || bad "the running ledger can't be read, so there is nothing to hold it against"
BRIDGE_DATABASE_URL=$copy $bridge migrate || bad "its schema can't be brought up to this software"
BRIDGE_DATABASE_URL=$copy $bridge export > "$folder/copy.csv" || bad "its deliveries can't be read"
BRIDGE_DATABASE_URL=$copy $bridge events --limit 1 --json > "$folder/newest.json" || bad "its events can't be read"

# Every delivery of the copy must be known to the running ledger: ids stay for ever, so a stranger means another ledger's backup.
cut -d, -f1 "$folder/running.csv" | sort > "$folder/running"
cut -d, -f1 "$folder/copy.csv" | sort > "$folder/copy"
strangers=$(comm -13 "$folder/running" "$folder/copy" | wc -l)
[ "$strangers" -eq 0 ] || bad "$strangers deliveries in it are unknown to the running ledger: is it the backup of another one?"

echo "In the backup: $(($(wc -l < "$folder/copy") - 1)) deliveries, in the running ledger: $(($(wc -l < "$folder/running") - 1))."
grep -o '"received_at": "[^"]*"' "$folder/newest.json" | sed 's/"received_at"/Newest event in the backup/' || echo "No event in the backup."
echo "GOOD: it can be put back."
