//! `durward serve`.

use crate::args::Serve;
use crate::config::Settings;
use crate::node::{self, Node};
use crate::passphrase::Unlock;

pub(crate) fn run(args: &Serve) -> anyhow::Result<()> {
    let settings = Settings::read(&args.config)?;
    let settings = Settings { unlock: Unlock::given(args.passphrase.passphrase_fd.as_ref()), ..settings };
    crate::logs::start(&settings)?;
    node::runtime()?.block_on(async {
        let node = Node::start(settings).await?;
        if !node.store.has_administrator().await? {
            tracing::warn!(
                "there is no administrator: nothing can be applied, issued or approved until `durward init -c {}` has shown \
                 its secret",
                args.config.display()
            );
        }
        node.run(Some(args.config.clone())).await
    })
}
