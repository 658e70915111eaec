//! The numbers of what a remote policy is told, and the chunks that it was made from.

use luthien_proto::message::{CallEnded, Opened};

/// Numbers from 1, each of the seq of a chunk. Kept as runs in which both rise by one: there are as many as something before
/// the stage was changed or left out.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    last: u64,
    runs: Vec<Run>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    number: u64,
    seq: u64,
}

impl Numbers {
    /// The number of what was made from that chunk.
    pub fn next(&mut self, seq: u64) -> u64 {
        self.last += 1;
        let number = self.last;
        let goes_on = self.runs.last().is_some_and(|run| run.seq.checked_add(number - run.number) == Some(seq));
        if !goes_on {
            self.runs.push(Run { number, seq });
        }
        number
    }

    /// The chunk that it was made from; 0: there is none of that number.
    pub fn seq_of(&self, number: u64) -> u64 {
        let number = number.min(self.last);
        let run = self.runs.partition_point(|run| run.number <= number).checked_sub(1).and_then(|at| self.runs.get(at));
        run.map_or(0, |run| run.seq + (number - run.number))
    }

    /// The last number that was made from chunks up to that one; 0: none was.
    pub fn through(&self, seq: u64) -> u64 {
        let mut next = self.last + 1;
        for run in self.runs.iter().rev() {
            if run.seq <= seq {
                return (run.number + (seq - run.seq)).min(next - 1);
            }
            next = run.number;
        }
        0
    }

    /// How the call ended, in these numbers.
    pub fn ended(&self, ended: &CallEnded) -> CallEnded {
        let opened = ended.opened.clone().map(|opened| Opened {
            first: self.through(opened.first),
            last: self.through(opened.last).max(self.through(opened.first)),
            ..opened
        });
        CallEnded { written: self.through(ended.written), opened, ..ended.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_that_of_a_chunk_and_a_chunk_has_any_number_of_them() {
        let mut numbers = Numbers::default();
        let seqs = [1, 2, 3, 3, 3, 7, 8, 9];
        for (number, seq) in (1..).zip(seqs) {
            assert_eq!(numbers.next(seq), number);
        }
        let back: Vec<u64> = (1..=8).map(|number| numbers.seq_of(number)).collect();
        assert_eq!(back, seqs);
        assert_eq!((numbers.seq_of(0), numbers.seq_of(99)), (0, 9));
        let through: Vec<u64> = (0..=10).map(|seq| numbers.through(seq)).collect();
        assert_eq!(through, [0, 1, 2, 5, 5, 5, 5, 6, 7, 8, 8]);
    }
}
