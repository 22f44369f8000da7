node "$EXAMPLES/node/server.js" &
server=$!
trap 'kill -TERM "$server"; wait "$server"' TERM
wait "$server"
