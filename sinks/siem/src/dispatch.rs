//! Grouping of pending messages into requests, and splitting of a request that was refused.

use std::mem::{Discriminant, discriminant};

use crate::{
    message::Message,
    verdict::{Fate, ItemFate, Refusal, Verdict},
};

/// Limits of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes of messages before compression, with what the protocol puts around each.
    pub bytes: usize,
}

/// Messages that are sent together, by their places in the batch.
pub type Group = Vec<usize>;

/// Cuts messages into requests, in their order. A message that is larger than a request may be stands alone.
pub fn groups(messages: &[Message], pending: &[usize], limits: RequestLimits) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut bytes = 0;
    for &index in pending {
        let size = messages[index].weight();
        match groups.last_mut() {
            Some(group) if group.len() < limits.messages && bytes + size <= limits.bytes => {
                group.push(index);
                bytes += size;
            }
            _ => {
                groups.push(vec![index]);
                bytes = size;
            }
        }
    }
    groups
}

/// Effect of one answer on the pending messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Messages that are delivered or parked.
    pub settled: Vec<(usize, Fate)>,
    /// Messages that the receiver has taken and not confirmed, with the number to ask for.
    pub taken: Option<(Group, u64)>,
    /// Requests to send next, in this order, before all others.
    pub next: Vec<Group>,
    /// Reason to stop sending for now.
    pub stop: Option<Stop>,
}

/// Reason to stop sending for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A failure: try again later.
    Retry {
        /// Delay that the receiver asks for.
        after: Option<std::time::Duration>,
        /// The receiver's answer.
        why: String,
    },
    /// The receiver refuses everything until its settings or the sink's are changed.
    Pause(String),
}

/// Consecutive answers of one receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// Answers that ask for a limited number of retries ([`Verdict::RetryThen`]) and mean the same in the end.
    stubborn: u32,
    /// What they mean in the end.
    meaning: Option<Discriminant<Verdict>>,
    /// The receiver has refused a compressed body.
    plain: bool,
}

impl Answers {
    /// Whether bodies may be compressed.
    pub fn may_compress(&self) -> bool {
        !self.plain
    }

    /// Applies the verdict on a request that carried these messages.
    pub fn follow(&mut self, group: Group, verdict: Verdict) -> Outcome {
        let verdict = match verdict {
            Verdict::RetryThen { attempts, then, why } => {
                let meaning = Some(discriminant(&*then));
                self.stubborn = if self.meaning == meaning { self.stubborn.saturating_add(1) } else { 1 };
                self.meaning = meaning;
                if self.stubborn < attempts { Verdict::Retry { after: None, why } } else { *then }
            }
            Verdict::Retry { .. } => verdict,
            other => {
                (self.stubborn, self.meaning) = (0, None);
                other
            }
        };
        match verdict {
            Verdict::Delivered => Outcome {
                settled: group.into_iter().map(|index| (index, Fate::Delivered)).collect(),
                ..Outcome::default()
            },
            Verdict::Taken { acknowledgement } => {
                Outcome { taken: Some((group, acknowledgement)), ..Outcome::default() }
            }
            Verdict::Items(fates) => items(&group, fates),
            Verdict::Retry { after, why } => {
                Outcome { next: vec![group], stop: Some(Stop::Retry { after, why }), ..Outcome::default() }
            }
            Verdict::Refused { at, why } => refused(group, at, why),
            Verdict::TooLarge { why } => halved(group, Refusal { too_large: true, why }),
            Verdict::NotCompressed { .. } => {
                self.plain = true;
                Outcome { next: vec![group], ..Outcome::default() }
            }
            Verdict::Pause { why } => {
                Outcome { next: vec![group], stop: Some(Stop::Pause(why)), ..Outcome::default() }
            }
            Verdict::RetryThen { .. } => unreachable!("an escalation ends in a verdict of another kind"),
        }
    }
}

/// The named message is parked; those around it are sent again. Without a name the request is halved.
fn refused(mut group: Group, at: Option<usize>, why: String) -> Outcome {
    match at.filter(|at| *at < group.len()) {
        Some(at) => {
            let refused = group.remove(at);
            let fate = Fate::Parked(Refusal { too_large: false, why });
            let next = if group.is_empty() { Vec::new() } else { vec![group] };
            Outcome { settled: vec![(refused, fate)], next, ..Outcome::default() }
        }
        None => halved(group, Refusal { too_large: false, why }),
    }
}

fn halved(mut group: Group, refusal: Refusal) -> Outcome {
    if let [single] = group.as_slice() {
        return Outcome { settled: vec![(*single, Fate::Parked(refusal))], ..Outcome::default() };
    }
    let tail = group.split_off(group.len() / 2);
    Outcome { next: vec![group, tail], ..Outcome::default() }
}

fn items(group: &[usize], fates: Vec<ItemFate>) -> Outcome {
    assert!(group.len() == fates.len(), "a fate for every message of the request");
    let mut outcome = Outcome::default();
    let mut again = Vec::new();
    for (&index, fate) in group.iter().zip(fates) {
        match fate {
            ItemFate::Delivered => outcome.settled.push((index, Fate::Delivered)),
            ItemFate::Refused(why) => {
                outcome.settled.push((index, Fate::Parked(Refusal { too_large: false, why })));
            }
            ItemFate::Retry(why) => {
                again.push(index);
                outcome.stop.get_or_insert(Stop::Retry { after: None, why });
            }
            ItemFate::Pause(why) => {
                again.push(index);
                if !matches!(outcome.stop, Some(Stop::Pause(_))) {
                    outcome.stop = Some(Stop::Pause(why));
                }
            }
        }
    }
    if !again.is_empty() {
        outcome.next.push(again);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(size: usize) -> Message {
        Message { json: vec![b' '; size].into(), ..Message::default() }
    }

    #[test]
    fn requests_keep_to_both_limits_and_to_the_order() {
        let messages: Vec<Message> = [10, 10, 10, 5_000, 10].into_iter().map(message).collect();
        let limits = RequestLimits { messages: 2, bytes: 2_100 };
        assert_eq!(groups(&messages, &[0, 1, 2, 3, 4], limits), [vec![0, 1], vec![2], vec![3], vec![4]]);
        assert_eq!(groups(&messages, &[], limits), Vec::<Group>::new());
    }

    /// Plays a receiver that refuses these messages; answers what was delivered and what was parked, and the requests.
    fn play(bad: &[usize], names: bool) -> (Vec<usize>, Vec<usize>, usize) {
        let (mut answers, mut queue) = (Answers::default(), vec![(0..100).collect::<Group>()]);
        let (mut delivered, mut parked, mut requests) = (Vec::new(), Vec::new(), 0);
        while let Some(group) = queue.pop() {
            requests += 1;
            let at = group.iter().position(|index| bad.contains(index));
            let verdict = match at {
                None => Verdict::Delivered,
                Some(at) => Verdict::Refused { at: names.then_some(at), why: "no".into() },
            };
            let outcome = answers.follow(group, verdict);
            for (index, fate) in outcome.settled {
                if fate == Fate::Delivered { delivered.push(index) } else { parked.push(index) }
            }
            queue.extend(outcome.next.into_iter().rev());
        }
        (delivered, parked, requests)
    }

    #[test]
    fn one_of_a_hundred_is_parked_and_each_other_arrives_once_and_in_order() {
        for (bad, names) in [(vec![41], false), (vec![41], true), (vec![0, 99], false), (vec![7, 8], true)] {
            let (delivered, parked, requests) = play(&bad, names);
            let good: Vec<usize> = (0..100).filter(|index| !bad.contains(index)).collect();
            assert_eq!((delivered, parked), (good, bad.clone()), "{bad:?}");
            assert!(requests <= 16 * bad.len(), "{requests} requests for {bad:?}");
        }
    }

    #[test]
    fn an_answer_that_stays_unreadable_pauses_at_the_third() {
        let mut answers = Answers::default();
        for _ in 0..2 {
            let outcome = answers.follow(vec![0], Verdict::unreadable("?"));
            assert!(matches!(outcome.stop, Some(Stop::Retry { .. })));
            assert_eq!(outcome.next, [vec![0]]);
        }
        assert_eq!(answers.follow(vec![0], Verdict::unreadable("?")).stop, Some(Stop::Pause("?".into())));
        answers.follow(vec![0], Verdict::Delivered);
        assert!(matches!(answers.follow(vec![0], Verdict::unreadable("?")).stop, Some(Stop::Retry { .. })));
    }

    #[test]
    fn answers_that_blame_something_else_count_anew() {
        let stubborn =
            |then: Verdict| Verdict::RetryThen { attempts: 5, then: Box::new(then), why: "?".into() };
        let (setup, payload) = (
            || stubborn(Verdict::pause("404")),
            || stubborn(Verdict::Refused { at: None, why: "400".into() }),
        );
        let mut answers = Answers::default();
        let is_retried = |outcome: &Outcome| matches!(outcome.stop, Some(Stop::Retry { .. }));
        for _ in 0..4 {
            assert!(is_retried(&answers.follow(vec![0], setup())));
        }
        for _ in 0..4 {
            assert!(is_retried(&answers.follow(vec![0], payload())), "the payload was never blamed before");
        }
        assert_eq!(answers.follow(vec![0], payload()).settled.len(), 1, "the fifth of its kind");
        for _ in 0..6 {
            answers.follow(vec![0], setup());
        }
        assert!(is_retried(&answers.follow(vec![0], payload())), "a pause for the setup is over");
    }

    #[test]
    fn only_what_an_item_asks_for_is_sent_again() {
        let fates = vec![
            ItemFate::Delivered,
            ItemFate::Retry("busy".into()),
            ItemFate::Refused("mapping".into()),
            ItemFate::Pause("index".into()),
        ];
        let outcome = Answers::default().follow(vec![4, 5, 6, 7], Verdict::Items(fates));
        assert_eq!(outcome.next, [vec![5, 7]]);
        assert_eq!(outcome.stop, Some(Stop::Pause("index".into())));
        let settled: Vec<usize> = outcome.settled.iter().map(|(index, _)| *index).collect();
        assert_eq!(settled, [4, 6]);
    }
}
