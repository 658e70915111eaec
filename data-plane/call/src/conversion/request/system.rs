//! Instructions: those before the conversation, and those within.

use luthien_proto::{
    Request,
    json::Extras,
    request::{Content, ContentBlock, Dialect},
};

use super::{
    Way,
    blocks::Blocks,
    history::{Speaker, Turn},
};
use crate::dialect::Lost;

/// The line by which Claude Code tells Anthropic who pays. To anyone else it is a part of the prompt, and one that varies.
const ATTRIBUTION: &str = "x-anthropic-billing-header:";

pub(super) fn clean(request: &mut Request, way: &Way<'_>, lost: &mut Lost) {
    if way.client == Dialect::AnthropicMessages {
        strip_attribution(&mut request.system, lost);
    }
    let system = std::mem::take(&mut request.system);
    let mut blocks = Blocks::new(way, lost);
    request.system = system.into_iter().flat_map(|content| blocks.convert(content, Speaker::System)).collect();
}

fn strip_attribution(system: &mut Vec<Content>, lost: &mut Lost) {
    let Some(Content { block: ContentBlock::Text(text), .. }) = system.first_mut() else { return };
    if !text.starts_with(ATTRIBUTION) {
        return;
    }
    lost.omit("system.x-anthropic-billing-header");
    match text.split_once('\n') {
        Some((_, rest)) if !rest.trim().is_empty() => *text = rest.trim_start_matches('\n').to_owned(),
        Some(_) | None => {
            system.remove(0);
        }
    }
}

/// Puts instructions where the target wants them: those that lead, before the conversation; later ones stay in place.
pub(super) fn place(request: &mut Request, turns: &mut Vec<Turn>, way: &Way<'_>, lost: &mut Lost) {
    if way.target() == Dialect::OpenAiResponses {
        return;
    }
    let leading = turns.iter().take_while(|turn| turn.speaker == Speaker::System).count();
    for turn in turns.drain(..leading) {
        request.system.extend(turn.content);
    }
    if way.target() == Dialect::OpenAiChat {
        return;
    }
    only_text(&mut request.system, lost);
    if turns.is_empty()
        && let Some(last) = request.system.pop()
    {
        turns.push(Turn { speaker: Speaker::User, role: "user".to_owned(), content: vec![last] });
    }
    for turn in turns.iter_mut().filter(|turn| turn.speaker == Speaker::System) {
        turn.speaker = Speaker::User;
        "user".clone_into(&mut turn.role);
        turn.content.iter_mut().for_each(remind);
    }
}

fn only_text(system: &mut Vec<Content>, lost: &mut Lost) {
    let before = system.len();
    system.retain(|content| matches!(content.block, ContentBlock::Text(_)));
    if system.len() < before {
        lost.drop("system");
    }
}

/// What an instruction says, said by the user.
fn remind(content: &mut Content) {
    if let ContentBlock::Text(text) = &content.block {
        let text = format!("<system-reminder>\n{text}\n</system-reminder>");
        *content = Content { block: ContentBlock::Text(text), extras: Extras::NONE };
    }
}
