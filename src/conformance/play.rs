//! A case, step by step.

use std::time::Duration;

use crate::proto::v1::{self, check_request::Credential};

use super::{
    Stop,
    case::{Case, Check, List, Restart, Step, Sweep},
    driver::{Rpc, World},
    expect::{self, Judge},
    mint::{self, Keys},
    request::{Maker, Tokens},
    text::{Frame, nanos, span},
    wanted::{ErrorWanted, ReceiptWanted, StatusWanted},
};

/// How a step went.
type Went = Result<(), Stop>;

/// A case that is being played.
#[derive(Debug)]
pub(super) struct Play<'a> {
    pub(super) case: &'a Case,
    pub(super) keys: &'a Keys,
    pub(super) world: World,
    pub(super) frame: Frame,
    pub(super) tokens: Tokens,
}

/// A write, ready to be sent.
#[derive(Debug)]
enum Write {
    Revoke(v1::RevokeRequest),
    RevokeUser(v1::RevokeUserRequest),
    Restore(v1::RestoreRequest),
}

impl Write {
    async fn send(self, rpc: &mut Rpc) -> Result<Vec<v1::Receipt>, tonic::Status> {
        Ok(match self {
            Self::Revoke(request) => rpc.revoke(request).await?.receipts,
            Self::Restore(request) => rpc.restore(request).await?.receipts,
            Self::RevokeUser(request) => {
                let answer = rpc.revoke_user(request).await?;
                answer.receipt.into_iter().collect()
            }
        })
    }
}

/// What is wanted of a write.
#[derive(Clone, Copy, Debug)]
struct WriteWanted<'a> {
    receipts: Option<&'a [ReceiptWanted]>,
    error: Option<&'a ErrorWanted>,
}

impl Play<'_> {
    /// Plays every step; which one went otherwise than wanted, counted from 1.
    pub(super) async fn all(&mut self) -> Result<(), (usize, Stop)> {
        for (number, step) in (1..).zip(&self.case.steps) {
            self.frame.now = self.world.wall();
            self.step(step).await.map_err(|stop| (number, stop))?;
        }
        if let World::Here(node) = &mut self.world {
            let stopped = node.stop().await;
            stopped.map_err(|stop| (self.case.steps.len(), stop))?;
        }
        Ok(())
    }

    fn maker(&self) -> Maker<'_> {
        Maker {
            frame: &self.frame,
            tokens: &self.tokens,
        }
    }

    fn judge(&self) -> Judge<'_> {
        Judge {
            maker: self.maker(),
            exact: self.world.is_here(),
            verifies: self.case.settings.verifies(),
        }
    }

    async fn step(&mut self, step: &Step) -> Went {
        match step {
            Step::Mint(asked) => {
                let defaults = &self.case.settings;
                // Of claims nobody asks for a signature, so where it counts they say less.
                let only_token = defaults.renames_claims() || defaults.verifies();
                let revocable = defaults.revocable();
                let token = mint::mint(asked, self.keys, &self.frame, only_token, &revocable)?;
                self.tokens.insert(asked.name.clone(), token);
                Ok(())
            }
            Step::Alter(asked) => {
                let token = mint::alter(asked, self.maker().token(&asked.token)?)?;
                self.tokens.insert(asked.name.clone(), token);
                Ok(())
            }
            Step::Check(wanted) => self.check(wanted).await,
            Step::Revoke(_) | Step::RevokeUser(_) | Step::Restore(_) => self.write(step).await,
            Step::Together(steps) => self.together(steps).await,
            Step::List(wanted) => self.list(wanted).await,
            Step::Status(wanted) => self.status(wanted).await,
            Step::Advance(text) => self.world.advance(duration(text)?).await,
            Step::SetWall(text) => {
                let time = self.frame.must_time(text)?;
                self.world.node("sets the wall clock")?.set_wall(time)
            }
            Step::Sweep(wanted) => self.sweep(wanted).await,
            Step::Restart(asked) => self.restart(asked).await,
            Step::AcceptClock(_) => self.world.node("accepts the clock")?.accept_clock().await,
        }
    }

    async fn check(&mut self, wanted: &Check) -> Went {
        let maker = self.maker();
        let mut credentials = Vec::new();
        match (&wanted.token, &wanted.text, &wanted.claims) {
            (Some(name), None, None) => {
                let token = maker.token(name)?;
                credentials.push(Some(Credential::Token(token.text.clone())));
                let claims = token.claims.clone();
                credentials.extend(claims.map(|claims| Some(Credential::Claims(claims))));
            }
            (None, Some(text), None) => {
                credentials.push(Some(Credential::Token(self.frame.expand(text)?)));
            }
            (None, None, Some(members)) => {
                credentials.push(Some(Credential::Claims(maker.claims(members)?)));
            }
            (None, None, None) => credentials.push(None),
            _ => {
                return Err("a check takes one of token, text and claims"
                    .to_owned()
                    .into());
            }
        }
        let checks: Vec<_> = credentials
            .into_iter()
            .map(|credential| v1::CheckRequest {
                credential,
                max_staleness: wanted
                    .max_staleness_s
                    .map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
            })
            .collect();
        let mut rpc = self.world.rpc()?;
        for check in &checks {
            let as_what = match check.credential {
                Some(Credential::Token(_)) => "as token",
                Some(Credential::Claims(_)) => "as claims",
                None => "as nothing",
            };
            let answer = rpc.check(check.clone()).await.map_err(Stop::status)?;
            self.judge()
                .check(&answer, wanted)
                .map_err(|problem| format!("{as_what}: {problem}"))?;
        }
        let in_batch = rpc.check_batch(v1::CheckBatchRequest {
            checks: checks.clone(),
        });
        let answers = in_batch.await.map_err(Stop::status)?.results;
        self.all_as_wanted("in a batch", &answers, checks.len(), wanted)?;
        let question = v1::CheckStreamRequest { id: 7, checks };
        let count = question.checks.len();
        let answers = rpc.check_stream(question).await.map_err(Stop::status)?;
        let [answer] = &*answers else {
            return Err(format!("in a stream: one question got {} answers", answers.len()).into());
        };
        if answer.id != 7 {
            return Err(format!("in a stream: question 7 got answer {}", answer.id).into());
        }
        self.all_as_wanted("in a stream", &answer.results, count, wanted)
    }

    /// Several answers to the same question.
    fn all_as_wanted(
        &self,
        place: &str,
        answers: &[v1::CheckResponse],
        count: usize,
        wanted: &Check,
    ) -> Went {
        if answers.len() != count {
            return Err(format!("{place}: {count} checks got {} answers", answers.len()).into());
        }
        for answer in answers {
            self.judge()
                .check(answer, wanted)
                .map_err(|problem| format!("{place}: {problem}"))?;
        }
        Ok(())
    }

    fn prepare(&self, step: &Step) -> Result<Write, Stop> {
        let maker = self.maker();
        Ok(match step {
            Step::Revoke(asked) => Write::Revoke(maker.revoke(asked)?),
            Step::RevokeUser(asked) => Write::RevokeUser(maker.revoke_user(asked)?),
            Step::Restore(asked) => Write::Restore(maker.restore(asked)?),
            _ => return Err("this is no write".to_owned().into()),
        })
    }

    async fn write(&mut self, step: &Step) -> Went {
        let repeat = match step {
            Step::Revoke(asked) => asked.repeat.unwrap_or(1),
            _ => 1,
        };
        for n in 1..=repeat {
            self.frame.n = n;
            let write = self.prepare(step)?;
            let got = write.send(&mut self.world.rpc()?).await;
            self.judge_write(got, wanted_of(step))?;
        }
        Ok(())
    }

    /// Two writes at once: each is judged, and what they leave behind is for the steps after.
    async fn together(&mut self, steps: &[Step]) -> Went {
        let [first, second] = steps else {
            return Err("two writes go together, not more or fewer"
                .to_owned()
                .into());
        };
        let (mut one, mut other) = (self.world.rpc()?, self.world.rpc()?);
        let (write, also) = (self.prepare(first)?, self.prepare(second)?);
        let (got, also_got) = tokio::join!(write.send(&mut one), also.send(&mut other));
        self.judge_write(got, wanted_of(first))?;
        self.judge_write(also_got, wanted_of(second))
    }

    fn judge_write(
        &mut self,
        got: Result<Vec<v1::Receipt>, tonic::Status>,
        wanted: WriteWanted<'_>,
    ) -> Went {
        self.frame.now = self.world.wall();
        let Some(receipts) = expect::answered(got, wanted.error)? else {
            return Ok(());
        };
        if let Some(wanted) = wanted.receipts {
            self.judge().receipts(&receipts, wanted)?;
        }
        let not_before = receipts.iter().find_map(|receipt| receipt.not_before);
        if let Some(not_before) = not_before {
            self.frame.not_before = Some(nanos(&not_before));
        }
        Ok(())
    }

    async fn list(&mut self, wanted: &List) -> Went {
        let mut request = v1::ListRevocationsRequest {
            iss: self.maker().iss(wanted.iss.as_deref())?,
            kinds: wanted
                .kinds
                .iter()
                .map(|kind| super::request::target_kind(*kind).into())
                .collect(),
            sub: self.frame.expand(&wanted.sub)?,
            reasons: wanted
                .reasons
                .iter()
                .map(|reason| super::request::reason(Some(reason)))
                .collect::<Result<_, _>>()?,
            page_size: wanted.page_size,
            ..v1::ListRevocationsRequest::default()
        };
        let mut rpc = self.world.rpc()?;
        let mut listed = Vec::new();
        loop {
            let got = rpc.list_revocations(request.clone()).await;
            let Some(page) = expect::answered(got, wanted.error.as_ref())? else {
                return Ok(());
            };
            listed.extend(page.revocations);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        if let Some(shows) = &wanted.shows {
            self.judge().revocations(&listed, shows)?;
        }
        Ok(())
    }

    async fn status(&mut self, wanted: &StatusWanted) -> Went {
        self.world.node("counts what a node holds")?;
        let mut rpc = self.world.rpc()?;
        let status = rpc.get_status(v1::GetStatusRequest::default()).await;
        let status = status.map_err(Stop::status)?;
        let records = status.journal.map(|journal| journal.records);
        let reserved = status.limits.map(|limits| limits.live_reserved);
        for (what, got, wanted) in [
            ("records", records, wanted.records),
            ("live_reserved", reserved, wanted.live_reserved),
        ] {
            if wanted.is_some() && got != wanted {
                return Err(format!("{what} is {got:?}, wanted {wanted:?}").into());
            }
        }
        let trusted = status.clock.map(|clock| clock.trusted);
        if wanted.clock_trusted.is_some() && trusted != wanted.clock_trusted {
            let wanted = wanted.clock_trusted;
            return Err(format!("the clock's trust is {trusted:?}, wanted {wanted:?}").into());
        }
        Ok(())
    }

    async fn sweep(&mut self, wanted: &Sweep) -> Went {
        let forgotten = self.world.node("sweeps")?.sweep().await?;
        match wanted.forgotten {
            Some(wanted) if wanted != forgotten => {
                Err(format!("{forgotten} records were forgotten, wanted {wanted}").into())
            }
            _ => Ok(()),
        }
    }

    async fn restart(&mut self, asked: &Restart) -> Went {
        let pause = asked.after.as_deref().map(duration).transpose()?;
        let node = self.world.node("restarts the node")?;
        let settings = asked.settings.clone();
        let started = node
            .restart(pause, settings, asked.accept_changed_meaning, &self.frame)
            .await?;
        match (started, &asked.error) {
            (Ok(()), None) => Ok(()),
            (Err(error), Some(wanted)) if error.contains(wanted) => Ok(()),
            (Ok(()), Some(_)) => Err("it started, and should have been refused".to_owned().into()),
            (Err(error), _) => Err(format!("it did not start: {error}").into()),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let nanos = span(text).and_then(|nanos| u64::try_from(nanos).ok());
    nanos
        .map(Duration::from_nanos)
        .ok_or_else(|| format!("{text:?} is no span of time"))
}

fn wanted_of(step: &Step) -> WriteWanted<'_> {
    let (receipts, error) = match step {
        Step::Revoke(asked) => (asked.receipts.as_deref(), asked.error.as_ref()),
        Step::RevokeUser(asked) => (
            asked.receipt.as_ref().map(std::slice::from_ref),
            asked.error.as_ref(),
        ),
        Step::Restore(asked) => (asked.receipts.as_deref(), asked.error.as_ref()),
        _ => (None, None),
    };
    WriteWanted { receipts, error }
}
