//! `/admin/v1/guard`: whether a target may be called, under the rules in force in this process.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::error::ApiError;
use super::query_params;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
use super::view::GuardView;
use crate::guard_check::GuardQuestion;

/// `GET /admin/v1/guard`
pub(super) async fn judge(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    let question = question(http.query_string())?;
    let rules = state.guard_rules.get();
    let judged = state.run(async move { Ok(rules.judge(&question).await) });
    let report = judged
        .await?
        .map_err(|sentence| ApiError::parameter(sentence.into()))?;
    ok(&GuardView {
        process: state.doctor.process.clone(),
        report,
    })
}

fn question(query: &str) -> Result<GuardQuestion, ApiError> {
    let mut found = query_params::only(query, &["target", "app_id", "addresses"])?;
    let target = found.remove("target").filter(|it| !it.trim().is_empty());
    let target = target.ok_or_else(|| ApiError::parameter("target is missing".into()))?;
    let addresses = found.remove("addresses").unwrap_or_default();
    let addresses = addresses.split(',').filter(|text| !text.is_empty());
    let addresses: Result<Vec<IpAddr>, _> = addresses.map(str::parse).collect();
    Ok(GuardQuestion {
        target,
        app: found.remove("app_id"),
        addresses: addresses
            .map_err(|_| ApiError::parameter("addresses are not IP addresses".into()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_a_target_and_perhaps_addresses() {
        let read = question("target=http%3A%2F%2Fa%2F&addresses=10.0.0.1,::1&app_id=shop");
        let expected = GuardQuestion {
            target: "http://a/".to_owned(),
            app: Some("shop".to_owned()),
            addresses: vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        };
        assert_eq!(read.unwrap(), expected);
        for query in ["", "target=", "target=a&addresses=b", "target=a&more=b"] {
            assert!(question(query).is_err(), "{query}");
        }
    }
}
