#!/usr/bin/env bash
# Runs one Cassandra node for tests in the foreground; it ends by its process id, as `exec` makes
# the JVM this very process.
#
#   start.sh FOLDER ADDRESS NATIVE_PORT STORAGE_PORT [TOKEN [SEED_ADDRESS]]
#
# The jars are those of `bootstrap.sh cassandra`; SLUICE_CASSANDRA_LIB names another folder of them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1 address=$2 native_port=$3 storage_port=$4
token=${5:--9223372036854775808} seed=${6:-$address}
lib=${SLUICE_CASSANDRA_LIB:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/cassandra-5.0.6}

[ -f "$lib/.complete" ] || { echo "no Cassandra in $lib: run deploy/bootstrap.sh cassandra" >&2; exit 1; }
mkdir -p "$folder"
sed -e "s|@folder@|$folder|g" -e "s|@address@|$address|g" -e "s|@native_port@|$native_port|g" \
    -e "s|@storage_port@|$storage_port|g" -e "s|@token@|$token|g" -e "s|@seed@|$seed:$storage_port|g" \
    "$here/cassandra.yaml.template" >"$folder/cassandra.yaml"

flags=()
for name in java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch \
    java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server \
    java.rmi/sun.rmi.transport.tcp java.sql/java.sql jdk.naming.dns/com.sun.jndi.dns \
    jdk.unsupported/sun.misc jdk.compiler/com.sun.tools.javac.file; do
    flags+=(--add-exports "$name=ALL-UNNAMED")
done
for name in java.base/java.lang.module java.base/java.lang java.base/java.lang.reflect java.base/java.net \
    java.base/java.nio java.base/java.util java.base/java.util.concurrent \
    java.base/java.util.concurrent.atomic java.base/java.io java.base/jdk.internal.loader \
    java.base/jdk.internal.ref java.base/jdk.internal.reflect java.base/jdk.internal.math \
    java.base/jdk.internal.module java.base/jdk.internal.util.jar java.base/sun.nio.ch \
    jdk.management/com.sun.management.internal; do
    flags+=(--add-opens "$name=ALL-UNNAMED")
done

# A node that joins others gives up when they say nothing for twice this long.
ring_delay_ms=100
[ "$seed" = "$address" ] || ring_delay_ms=5000

exec nice -n 2 java -Xms512m -Xmx512m -XX:+UseSerialGC -Djdk.attach.allowAttachSelf=true \
    -javaagent:"$lib/jamm-0.4.0.jar" "${flags[@]}" \
    -Dcassandra.config="file://$folder/cassandra.yaml" -Dcassandra.storagedir="$folder" \
    -Dcassandra-foreground=yes -Dcassandra.skip_wait_for_gossip_to_settle=0 \
    -Dcassandra.ring_delay_ms=$ring_delay_ms -Dcassandra.consistent.rangemovement=false \
    -Dlogback.configurationFile="$here/logback.xml" \
    -cp "$lib/*" org.apache.cassandra.service.CassandraDaemon
