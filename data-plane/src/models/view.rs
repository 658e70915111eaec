//! Models in the shape of the dialect that asks.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Model;
use crate::routes::Family;

/// The most on one page, and how many there are on one where nothing is said.
const PAGE_MOST: usize = 1000;
const PAGE: usize = 20;

pub(super) fn openai_list(models: &[Model]) -> Value {
    json!({"object": "list", "data": models.iter().map(openai).collect::<Vec<_>>()})
}

pub(super) fn openai(model: &Model) -> Value {
    match &model.told {
        Some((Family::OpenAi, told)) => told.clone(),
        Some(_) | None => json!({
            "id": model.id,
            "object": "model",
            "created": model.created.unwrap_or_default(),
            "owned_by": "luthien",
        }),
    }
}

pub(super) fn anthropic_page(models: &[Model], query: &str) -> Value {
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then(|| super::decoded(value)))
    };
    let limit = parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).clamp(1, PAGE_MOST);
    let place = |id: String| models.iter().position(|model| model.id == id);
    let (page, has_more) = if let Some(before) = parameter("before_id").and_then(place) {
        (&models[before.saturating_sub(limit)..before], before > limit)
    } else {
        let after = parameter("after_id").and_then(place).map_or(0, |at| at + 1);
        let end = models.len().min(after + limit);
        (&models[after..end], end < models.len())
    };
    json!({
        "data": page.iter().map(anthropic).collect::<Vec<_>>(),
        "has_more": has_more,
        "first_id": page.first().map(|model| &model.id),
        "last_id": page.last().map(|model| &model.id),
    })
}

pub(super) fn anthropic(model: &Model) -> Value {
    match &model.told {
        Some((Family::Anthropic, told)) => told.clone(),
        Some(_) | None => json!({
            "type": "model",
            "id": model.id,
            "display_name": model.display_name.as_ref().unwrap_or(&model.id),
            "created_at": Timestamp::from_second(model.created.unwrap_or_default()).unwrap_or_default().to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_was_asked_for() {
        let models: Vec<Model> = ["a", "b", "c d", "e"].map(Model::named).to_vec();
        let seen = |query: &str| {
            let page = anthropic_page(&models, query);
            let ids: Vec<&str> = page["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
            format!("{} {} {} {}", ids.join(","), page["has_more"], page["first_id"], page["last_id"])
        };
        assert_eq!(seen(""), r#"a,b,c d,e false "a" "e""#);
        assert_eq!(seen("limit=2"), r#"a,b true "a" "b""#);
        assert_eq!(seen("limit=2&after_id=b"), r#"c d,e false "c d" "e""#);
        assert_eq!(seen("limit=1&before_id=c%20d"), r#"b true "b" "b""#);
        assert_eq!(seen("limit=0&after_id=e"), " false null null");
    }

    #[test]
    fn a_model_is_told_in_either_shape() {
        let model = Model { created: Some(60), ..Model::named("m") };
        assert_eq!(openai(&model), json!({"id": "m", "object": "model", "created": 60, "owned_by": "luthien"}));
        assert_eq!(
            anthropic(&model),
            json!({"type": "model", "id": "m", "display_name": "m", "created_at": "1970-01-01T00:01:00Z"})
        );
        let told = json!({"id": "m", "object": "model", "created": 1, "owned_by": "openai", "more": true});
        let model = Model { told: Some((Family::OpenAi, told.clone())), ..model };
        assert_eq!(openai(&model), told);
    }
}
