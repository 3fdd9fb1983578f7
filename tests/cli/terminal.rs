//! Programs whose output is a terminal (pty(7)).

use std::{
    fs::{File, OpenOptions},
    io::Read,
    process::Stdio,
};

use tokio::{
    process::{Child, Command},
    sync::watch,
};

use crate::support::{program::signal, screen, within};

/// A program in a pseudo-terminal; killed when it is dropped.
pub struct Terminal {
    child: Child,
    shown: watch::Receiver<String>,
}

impl Terminal {
    /// Runs it with the terminal as standard output and error.
    pub fn run(command: &mut Command) -> Self {
        let (screen, path) = screen();
        let open = || OpenOptions::new().write(true).open(&path).unwrap();
        let outputs = command.stdout(Stdio::from(open())).stderr(open());
        let child = outputs.spawn().unwrap();
        // Copies of it in this process would keep the terminal open.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let (sender, shown) = watch::channel(String::new());
        std::thread::spawn(move || show(File::from(screen), &sender));
        Self { child, shown }
    }

    /// The line that contains `text`.
    pub async fn line(&mut self, text: &str) -> String {
        let find = |shown: &String| shown.lines().any(|line| line.contains(text));
        let shown = within(text, self.shown.wait_for(find)).await.unwrap();
        let mut lines = shown.lines().filter(|line| line.contains(text));
        lines.next().unwrap().to_owned()
    }

    /// Ctrl-C: the exit code, and the complete output.
    pub async fn interrupt(mut self) -> (Option<i32>, String) {
        signal(self.child.id().unwrap(), "INT").await;
        let status = within("its end", self.child.wait()).await.unwrap();
        within("all of it", async {
            while self.shown.changed().await.is_ok() {}
        })
        .await;
        let shown = self.shown.borrow().clone();
        (status.code(), shown)
    }
}

/// Reads until the last process closes the terminal: then reading fails.
fn show(mut screen: File, sender: &watch::Sender<String>) {
    let mut part = [0; 4096];
    while let Ok(length @ 1..) = screen.read(&mut part) {
        let text = String::from_utf8_lossy(&part[..length]);
        sender.send_modify(|shown| shown.push_str(&text));
    }
}
