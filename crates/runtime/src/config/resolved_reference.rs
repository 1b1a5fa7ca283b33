//! A secret that stands elsewhere, shown as the reference to it.

/// A reference that was replaced by what it refers to.
#[derive(Debug, Clone)]
pub(super) struct ResolvedReference {
    /// The names of the tables, then of the setting; then the position in a list.
    pub(super) path: Vec<String>,
    /// `env:NAME` or `file:/path`: no secret.
    pub(super) text: String,
}

impl ResolvedReference {
    /// Puts the reference back in the place of what it refers to.
    pub(super) fn show(&self, settings: &mut serde_json::Value) {
        let mut at = Some(settings);
        for name in &self.path {
            at = at.and_then(|value| match value {
                serde_json::Value::Array(items) => items.get_mut(name.parse::<usize>().ok()?),
                value => value.get_mut(name),
            });
        }
        if let Some(value) = at {
            *value = self.text.clone().into();
        }
    }
}
