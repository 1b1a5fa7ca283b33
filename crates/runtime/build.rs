//! Takes the files of Swagger UI that the page of an API needs out of the archive of them all.

use std::error::Error;
use std::fs;
use std::io::{Cursor, Read as _};
use std::path::PathBuf;

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

/// A sixth of the archive: the rest is variants of these, and their source maps.
const FILES: [&str; 4] = [
    "favicon-32x32.png",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let directory = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    for name in FILES {
        let end = format!("/dist/{name}");
        let is_its = |path: &&str| path.ends_with(&end) && !path.contains("/flavors/");
        let path = archive.file_names().find(is_its).map(str::to_owned);
        let path = path.ok_or_else(|| format!("{name} is not in the archive"))?;
        let mut bytes = Vec::new();
        archive.by_name(&path)?.read_to_end(&mut bytes)?;
        fs::write(directory.join(name), bytes)?;
    }
    Ok(())
}
