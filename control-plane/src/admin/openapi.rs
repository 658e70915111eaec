//! `GET /api/openapi.json`: what the API answers, for programs.

use std::sync::{Arc, LazyLock};

use axum::{body::Bytes, response::IntoResponse};
use http::header;
use utoipa::{
    OpenApi,
    openapi::{
        Content, PathItem, Ref, RefOr, ResponseBuilder,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, activity, calls, error::ErrorView, export, health, policies, sessions};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "luthien, the admin API",
        description = "What is on record of the calls, what happens in them, and the policies.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ErrorView)),
    tags(
        (name = "calls", description = "The record of the calls"),
        (name = "sessions", description = "The calls of an agent run or conversation"),
        (name = "activity", description = "What happens in the calls, live"),
        (name = "policies", description = "The policies for the calls that begin"),
        (name = "plane", description = "The control plane itself"),
    ),
)]
struct Document;

/// How the scheme of the admin token is called.
const TOKEN: &str = "admin token";

static TEXT: LazyLock<Bytes> = LazyLock::new(|| serde_json::to_vec_pretty(&document()).unwrap_or_default().into());

/// What stands under `/api`, behind the token.
pub(super) fn guarded() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(calls::list))
        .routes(routes!(calls::show))
        .routes(routes!(calls::compare))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::show))
        .routes(routes!(activity::watch))
        .routes(routes!(export::export))
        .routes(routes!(policies::show, policies::replace))
        .routes(routes!(policies::kinds))
        .routes(routes!(show))
}

/// What needs no token.
pub(super) fn open() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "plane",
    responses((status = 200, body = Object, description = "OpenAPI 3.1")),
)]
async fn show() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone())
}

fn document() -> utoipa::openapi::OpenApi {
    let mut guarded = guarded().into_openapi();
    for operation in guarded.paths.paths.values_mut().flat_map(operations) {
        operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(TOKEN, [])]);
        let error = ResponseBuilder::new()
            .description("Why there is no answer")
            .content("application/json", Content::new(Some(RefOr::Ref(Ref::from_schema_name("Error")))));
        operation.responses.responses.insert("default".to_owned(), RefOr::T(error.build()));
    }
    let mut document = Document::openapi().nest("/api", guarded);
    document.merge(open().into_openapi());
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().add_security_scheme(TOKEN, scheme);
    document
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.put, &mut path.post, &mut path.delete].into_iter().flatten()
}
