//! Ends a server with the process that wanted it, however that ends.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use super::Owner;

/// Waits until nobody holds the other end of its stdin any more; then ends the server and removes what it wrote.
const SCRIPT: &str = r#"
    trap '' INT TERM HUP
    cat > /dev/null
    pid=$(head -n 1 "$1/data/postmaster.pid" 2> /dev/null)
    if [ -n "$pid" ]; then
        kill -QUIT "$pid" 2> /dev/null
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            kill -0 "$pid" 2> /dev/null || break
            sleep 0.1
        done
    fi
    rm -rf "$1"/*
    rmdir "$1" 2> /dev/null
    exit 0
"#;

/// A process that outlives ours for a moment.
#[derive(Debug)]
pub(super) struct Guardian(Child);

impl Guardian {
    pub(super) fn start(folder: &Path, owner: Owner) -> Self {
        let mut guardian = Command::new("sh");
        guardian.args(["-c", SCRIPT, "guardian"]).arg(folder).current_dir("/");
        // Only its stdin is ours: whoever reads our output must not have to wait for it.
        guardian.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        owner.run(&mut guardian);
        Self(guardian.spawn().expect("there is a shell"))
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
