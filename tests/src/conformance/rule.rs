//! The rules that a policy service has to keep.

macro_rules! rules {
    ($($name:ident: $says:literal,)+) => {
        /// A rule of the protocol. Its name is its id.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each says what it is: `Rule::says`")]
        pub enum Rule {
            $($name,)+
        }

        impl Rule {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its id, which never changes.
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What it asks of a service.
            pub fn says(self) -> &'static str {
                match self {
                    $(Self::$name => $says,)+
                }
            }
        }
    };
}

rules! {
    A1: "CallStarted is answered with Admission, before anything else but Working",
    A2: "Admission is said once, and not again of a call that is resumed with one",
    A3: "an Admission can be carried out: a decision, a status of an error, edits of messages that there are, a whole answer",
    A4: "an Admission names the revision, a hexadecimal SHA-256",
    C1: "what the proxy does not name among its capabilities is not asked of it",
    C2: "a Consult has a request, and an id that no other question of the call has",
    M1: "what has to be set is set, and JSON is JSON",
    S1: "`seen` never falls, and never counts more than was told",
    S2: "every Chunks, Block and Consultation is counted in `seen`",
    V1: "a Verdict settles nothing that was not sent",
    V2: "a Verdict never steps back behind an earlier one",
    V3: "the events of a Verdict can be written where they stand",
    V4: "no Verdict comes behind one that ended the response",
    V5: "where nothing is gated, nothing is changed",
    L1: "while something is owed, the service says something within two leases",
    L2: "when the response is over, all that is gated is settled within the hold time",
    T1: "unknown fields are ignored",
    T2: "unknown blocks, pieces and steps are taken as any others",
    T3: "unknown and unset values of enums are read, as the strictest",
    F1: "what comes before CallStarted is a fault: INVALID_ARGUMENT, and no consent",
    F2: "a second CallStarted is a fault",
    F3: "a seq that does not rise is a fault",
    F4: "nothing that comes behind CallEnded is judged",
    F5: "an unset message, event, kind or delta is a fault",
    F6: "the answer to a Consult that was not asked is a fault",
    F7: "Chunks without a chunk are a fault",
    F8: "what is no message of the protocol ends the stream with an error",
    R1: "of a resumed call, what was applied is not said again, and the client gets the same",
    R2: "of a call that is resumed without an Admission, one is said; with one, something is said",
    R3: "a call of a revision that the service does not have is left to others: FAILED_PRECONDITION",
    D1: "what the client gets does not depend on how chunks are batched",
    D2: "what the client gets does not depend on the other calls of the connection",
    D3: "a call that is cut off does no harm to others",
    E1: "the service does not close the stream before CallEnded",
    E2: "behind CallEnded the service closes the stream, with OK",
    P1: "a Report is answered with OK, each time that it is said, or with UNIMPLEMENTED",
    P2: "a Report that can't be read is answered with INVALID_ARGUMENT",
}
