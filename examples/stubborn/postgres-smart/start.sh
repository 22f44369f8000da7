# A server of the test's own, as an ordinary user, with one session that stays.
bin=$(echo /usr/lib/postgresql/*/bin)
chmod 755 .
mkdir data sockets
chown 65534:65534 data sockets
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
as_nobody "$bin/initdb" -D data -U adieu -A trust -N > initdb.log
setpriv --reuid 65534 --regid 65534 --clear-groups "$bin/postgres" -D data -p "$PORT" -h 127.0.0.1 -k "$PWD/sockets" > postgres.log 2>&1 &
server=$!
until as_nobody "$bin/psql" -h 127.0.0.1 -p "$PORT" -U adieu -d postgres -c 'select 1' > psql.log 2>&1; do
    kill -0 "$server" || exit 1
    sleep 0.1
done
# The session ends with this shell, which holds its input.
mkfifo input
as_nobody "$bin/psql" -h 127.0.0.1 -p "$PORT" -U adieu -d postgres < input > session.log 2>&1 &
exec 9> input
until as_nobody "$bin/psql" -h 127.0.0.1 -p "$PORT" -U adieu -d postgres -At -c 'select count(*) from pg_stat_activity where datname is not null' 2> psql.log | grep -qx 2; do
    sleep 0.1
done
echo "$server" > target
touch ready
wait "$server"
