//! The target's resource, as cases read and write it.

use crate::case::{Halt, expect};
use crate::trial::{Operation, Trial};
use crate::wire::{Reply, Request};

/// One resource of the target's, which no other case knows.
pub(super) struct Document {
    operation: Operation,
}

/// What a write demands and under which key it goes.
#[derive(Clone, Copy, Default)]
pub(super) struct Write<'a> {
    pub(super) key: Option<&'a str>,
    pub(super) if_match: Option<&'a str>,
}

impl Document {
    /// One that does not exist yet.
    pub(super) fn new(trial: &Trial) -> Self {
        Self { operation: trial.operation() }
    }

    fn request(&self, trial: &Trial, method: &str, amount: &str) -> Result<Request, Halt> {
        let resource = trial.target().resource.as_ref();
        let resource =
            resource.ok_or_else(|| Halt::Skipped("the target has no [resource]".into()))?;
        let values = trial.values(&self.operation.clone().amount(amount));
        let mut request = Request::new(method, &resource.path.fill(&values));
        if method == "PUT" {
            for (name, value) in &resource.headers {
                request = request.add(name, value.fill(&values));
            }
            request = request.body(resource.body.fill(&values));
        }
        for (name, value) in trial.credentials(self.operation.tenant) {
            request = request.set(name, value);
        }
        Ok(request)
    }

    /// The request that writes the amount.
    pub(super) fn put(
        &self,
        trial: &Trial,
        amount: &str,
        write: Write<'_>,
    ) -> Result<Request, Halt> {
        Ok(demanding(trial, self.request(trial, "PUT", amount)?, write))
    }

    /// Reads it.
    pub(super) async fn read(&self, trial: &Trial) -> Result<Reply, Halt> {
        trial.send_request(&self.request(trial, "GET", "")?).await
    }

    /// Writes the amount.
    pub(super) async fn write(
        &self,
        trial: &Trial,
        amount: &str,
        write: Write<'_>,
    ) -> Result<Reply, Halt> {
        trial.send_request(&self.put(trial, amount, write)?).await
    }

    /// Removes it.
    pub(super) async fn remove(&self, trial: &Trial, write: Write<'_>) -> Result<Reply, Halt> {
        let request = demanding(trial, self.request(trial, "DELETE", "")?, write);
        trial.send_request(&request).await
    }

    /// Makes it, whatever the target demands of a first write.
    ///
    /// # Errors
    /// [`Halt::Inconclusive`] when it cannot be made.
    pub(super) async fn create(&self, trial: &Trial, amount: &str) -> Result<Reply, Halt> {
        let mut reply = self.write(trial, amount, Write::default()).await?;
        if matches!(reply.status, 412 | 428) {
            let request = self.request(trial, "PUT", amount)?.set("If-None-Match", "*");
            reply = trial.send_request(&request).await?;
        }
        if reply.success() {
            return Ok(reply);
        }
        Err(Halt::Inconclusive(format!("the resource could not be made: {}", reply.brief())))
    }

    /// Reads it, and gives the tag of the version that stands there.
    ///
    /// # Errors
    /// [`Halt::Inconclusive`] without one: `version/etag-on-reads` judges that.
    pub(super) async fn tag(&self, trial: &Trial) -> Result<String, Halt> {
        let reply = self.read(trial).await?;
        let none = || Halt::Inconclusive(format!("a read has no ETag: {}", reply.brief()));
        reply.header("etag").ok_or_else(none)
    }

    /// What a write must say in `If-Match` to be taken: the tag that stands there, where the target
    /// demands one.
    pub(super) async fn demanded(&self, trial: &Trial) -> Result<Option<String>, Halt> {
        let demands = trial.target().resource.as_ref().is_some_and(|r| r.requires_match);
        if demands { self.tag(trial).await.map(Some) } else { Ok(None) }
    }

    /// Expects that the amount stands there.
    ///
    /// # Errors
    /// [`Halt::Failed`] with what does.
    pub(super) async fn expect_amount(&self, trial: &Trial, amount: &str) -> Result<(), Halt> {
        let reply = self.read(trial).await?;
        let holds = reply.success() && reply.text().contains(amount);
        expect(holds, format!("the resource holds {amount}"), reply.brief())
    }
}

fn demanding(trial: &Trial, mut request: Request, write: Write<'_>) -> Request {
    if let Some(key) = write.key {
        request = request.set(&trial.target().key_header, key);
    }
    if let Some(tag) = write.if_match {
        request = request.set("If-Match", tag);
    }
    request
}
