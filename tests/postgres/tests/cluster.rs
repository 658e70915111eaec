//! A server for tests does what it is told, and is gone when it should be.

use luthien_tests_postgres::Cluster;

#[test]
fn what_was_committed_is_there_after_a_stop_and_after_a_kill() {
    let cluster = Cluster::start();
    let url = cluster.database();
    let name = url.split(['/', '?']).nth(3).unwrap();
    cluster.sql(name, "CREATE TABLE t (n int)");
    cluster.sql(name, "INSERT INTO t VALUES (1)");
    cluster.stop();
    cluster.start_again();
    cluster.sql(name, "INSERT INTO t VALUES (2)");
    cluster.kill();
    cluster.start_again();
    assert_eq!(cluster.sql(name, "SELECT sum(n) FROM t"), "3");
    assert_eq!(cluster.sql(name, "SHOW fsync"), "on");

    let folder = cluster.socket().parent().unwrap().to_owned();
    assert!(folder.exists());
    drop(cluster);
    assert!(!folder.exists());
}

#[test]
fn databases_of_one_cluster_are_apart() {
    let cluster = Cluster::shared();
    assert_ne!(cluster.database(), cluster.database());
}
