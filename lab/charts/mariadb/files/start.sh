#!/bin/bash
# Start this member: form a cluster where there is none, else join the one that is there.
set -eu
data=/var/lib/mysql
trap 'exit 0' TERM # as process 1, the shell would ignore it while it waits
ordinal=${POD_NAME##*-}
others=() members=()
for ((n = 0; n < MARIADB_REPLICAS; n++)); do
    member=${POD_NAME%-*}-$n.$DISCOVERY_DOMAIN
    members+=("$member")
    [ "$n" = "$ordinal" ] || others+=("$member")
done

primary_elsewhere() { # a running member that belongs to the primary component
    for member in "${others[@]}"; do
        status=$(timeout 5 mysql --defaults-file=/etc/mysql/admin_user.cnf --host="$member" --connect-timeout=2 \
            -Nse "show status like 'wsrep_cluster_status'" 2>/dev/null | cut -f2) || continue
        [ "$status" != Primary ] || return 0
    done
    return 1
}

run() {
    local addresses
    addresses=$(IFS=,; echo "${members[*]}")
    exec mariadbd --wsrep-node-name="$POD_NAME" --wsrep-node-address="$POD_IP:4567" \
        --wsrep-sst-receive-address="$POD_IP:4444" --wsrep-cluster-address="gcomm://$addresses" \
        --wsrep-provider-options="$PROVIDER_OPTIONS;gmcast.listen_addr=tcp://$POD_IP:4567;ist.recv_addr=$POD_IP:4568" "$@"
}

form_cluster() { # with an empty store: the accounts go in before anything can be replicated
    find $data -mindepth 1 -delete
    mariadb-install-db --no-defaults --datadir=$data --auth-root-authentication-method=normal --skip-test-db >/dev/null
    cat >/tmp/init.sql <<SQL
ALTER USER root@localhost IDENTIFIED BY '$MYSQL_DBADMIN_PASSWORD';
CREATE USER IF NOT EXISTS root@'%' IDENTIFIED BY '$MYSQL_DBADMIN_PASSWORD';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
CREATE USER IF NOT EXISTS audit@'%' IDENTIFIED BY '$MYSQL_DBAUDIT_PASSWORD';
GRANT SELECT ON *.* TO audit@'%';
SQL
    echo "$POD_NAME: forming a new cluster"
    run --wsrep-new-cluster --init-file=/tmp/init.sql
}

if [ ! -e $data/grastate.dat ]; then
    for ((try = 0; ; try++)); do
        primary_elsewhere && break
        # The first member forms the cluster, unless others still serve one that it has lost its volume of.
        [ "$ordinal" = 0 ] && [ $try -ge 1 ] && form_cluster
        echo "$POD_NAME: no member is in a primary component yet"
        sleep 1
    done
    find $data -mindepth 1 -delete
elif grep -q 'safe_to_bootstrap: 1' $data/grastate.dat && ! primary_elsewhere; then
    echo "$POD_NAME: the last to leave, so the first to come back"
    run --wsrep-new-cluster
fi
echo "$POD_NAME: joining"
run
