//! Erasure of personal data.

use async_trait::async_trait;
use sqlx::{Error, Postgres, QueryBuilder, Transaction};
use uuid::Uuid;

use super::connection::PostgresJournal;
use super::filter::push_all;
use super::row::status;
use crate::error::JournalResult;
use crate::model::{EraseOutcome, ErasedMany, Filter};
use crate::store::EraseStore;

/// What has ended and has something to erase.
const ERASABLE: &str = "status NOT IN (0, 1) AND (dead_letter IS NOT NULL \
     OR callback_url <> '' OR caller_no <> '' OR EXISTS (SELECT FROM attempts \
     WHERE attempts.request_id = callbacks.request_id \
     AND (answer IS NOT NULL OR cause IS NOT NULL OR detail IS NOT NULL)))";

/// Not NULL: a late record would fill it in again.
const ERASE: &str = "
UPDATE callbacks SET dead_letter = NULL, dead_letter_since = NULL, callback_url = '',
    caller_no = '',
    discarded = discarded OR status IN (3, 4)
WHERE request_id = ANY($1)";

/// What targets answered, and what was said of it in words.
const ERASE_TEXTS: &str = "
UPDATE attempts SET answer = NULL, answer_type = NULL, cause = NULL, detail = NULL
WHERE request_id = ANY($1)
    AND num_nonnulls(answer, answer_type, cause, detail) > 0";

#[async_trait]
impl EraseStore for PostgresJournal {
    async fn erase(
        &self,
        filter: &Filter,
        after: Option<Uuid>,
        limit: u32,
    ) -> JournalResult<ErasedMany> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            let filter = Filter {
                discarded: true,
                ..filter.clone()
            };
            let mut sql: QueryBuilder<Postgres> =
                QueryBuilder::new("SELECT request_id FROM callbacks WHERE ");
            sql.push(ERASABLE);
            if let Some(after) = after {
                sql.push(" AND request_id > ").push_bind(after);
            }
            sql.push(" AND ");
            // The time matters only to callbacks that are due, and what has ended is not.
            push_all(&mut sql, &filter, 0);
            sql.push(" ORDER BY request_id LIMIT ")
                .push_bind(i64::from(limit))
                .push(" FOR UPDATE");
            let ids: Vec<Uuid> = sql
                .build_query_scalar()
                .fetch_all(&mut *transaction)
                .await?;
            erase_rows(&mut transaction, &ids).await?;
            transaction.commit().await?;
            Ok(ErasedMany {
                erased: u64::try_from(ids.len()).unwrap_or(u64::MAX),
                last: ids.last().copied(),
            })
        })
        .await
    }

    async fn erase_one(&self, request_id: Uuid) -> JournalResult<EraseOutcome> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            let found =
                sqlx::query("SELECT status FROM callbacks WHERE request_id = $1 FOR UPDATE")
                    .bind(request_id)
                    .fetch_optional(&mut *transaction)
                    .await?;
            let Some(found) = found else {
                return Ok(EraseOutcome::Unknown);
            };
            if status(&found)?.is_unfinished() {
                return Ok(EraseOutcome::Waits);
            }
            erase_rows(&mut transaction, &[request_id]).await?;
            transaction.commit().await?;
            Ok(EraseOutcome::Erased)
        })
        .await
    }
}

async fn erase_rows(
    transaction: &mut Transaction<'_, Postgres>,
    ids: &[Uuid],
) -> Result<(), Error> {
    for sql in [ERASE, ERASE_TEXTS] {
        sqlx::query(sql)
            .bind(ids)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}
