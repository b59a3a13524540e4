//! Who may depend on whom. The dependency list of a crate is the proof of what it cannot do.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::rust::Source;
use super::{Text, assert_tidy, root, sources, texts_named};

/// All that the rules need. `tokio` is there for the store suite alone.
const CORE_NEEDS: [&str; 7] =
    ["blake3", "bytes", "crc32fast", "form_urlencoded", "http", "thiserror", "tokio"];
/// A seventh crate needs a decision record.
const CRATES: [&str; 6] =
    ["semel", "semel-conform", "semel-core", "semel-demo", "semel-server", "semel-sim"];
/// What belongs to the binary: the command line, the proxy, TLS, the sample.
const NOT_IN_THE_LIBRARY: [&str; 8] =
    ["axum", "clap", "hyper", "hyper-rustls", "hyper-util", "rustls", "semel-demo", "semel-server"];

struct Package {
    name: String,
    folder: String,
    /// Without those of tests.
    needs: BTreeSet<String>,
    /// Those among them that a feature must ask for.
    optional: BTreeSet<String>,
    /// feature → what it turns on.
    features: Vec<(String, Vec<String>)>,
    published: bool,
}

fn packages() -> Vec<Package> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--offline", "--locked", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo tells of the workspace");
    assert!(output.status.success(), "cargo metadata failed: {output:?}");
    let all: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages: Vec<Package> = list(&all["packages"]).iter().map(package).collect();
    assert!(packages.len() >= 5, "cargo names {} packages", packages.len());
    packages
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn package(value: &Value) -> Package {
    let shipped: Vec<&Value> =
        list(&value["dependencies"]).iter().filter(|d| d["kind"] != "dev").collect();
    let features = value["features"].as_object().cloned().unwrap_or_default();
    let manifest = text(&value["manifest_path"]);
    let folder = manifest.trim_end_matches("/Cargo.toml");
    Package {
        name: text(&value["name"]),
        folder: folder.strip_prefix(&format!("{}/", root().display())).unwrap_or(folder).to_owned(),
        needs: shipped.iter().map(|d| text(&d["name"])).collect(),
        optional: shipped
            .iter()
            .filter(|d| d["optional"] == true)
            .map(|d| text(&d["name"]))
            .collect(),
        features: features
            .iter()
            .map(|(name, on)| (name.clone(), list(on).iter().map(text).collect()))
            .collect(),
        published: value["publish"].is_null(),
    }
}

fn misplaced(package: &Package) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: String| faults.push(format!("{}: {what}", package.folder));
    match package.name.as_str() {
        "semel-core" => {
            for need in package.needs.iter().filter(|need| !CORE_NEEDS.contains(&need.as_str())) {
                fault(format!("'{need}' is not in the list of what the rules need"));
            }
            if package.needs.contains("tokio") && !package.optional.contains("tokio") {
                fault("tokio is for the store suite: make it optional".into());
            }
            for (feature, on) in &package.features {
                if feature != "suite" && on.iter().any(|o| o.contains("tokio") || o == "suite") {
                    fault(format!("feature '{feature}' turns tokio on; only 'suite' may"));
                }
            }
        }
        "semel" => {
            for need in
                package.needs.iter().filter(|need| NOT_IN_THE_LIBRARY.contains(&need.as_str()))
            {
                fault(format!("'{need}' belongs to semel-server"));
            }
        }
        "semel-conform" => {
            for need in package.needs.iter().filter(|need| need.starts_with("semel")) {
                fault(format!("'{need}': a judge shares no code with what it judges"));
            }
        }
        "semel-sim" if package.published => fault("is never published: set publish = false".into()),
        "semel-sim" | "semel-server" | "semel-demo" => {}
        _ if package.folder.starts_with("examples/") && !package.published => {}
        other => {
            fault(format!("'{other}' is a new crate: write the decision record that says why"))
        }
    }
    faults
}

/// Nothing of the world outside may be named in the rules. The suite, which drives other stores, may.
fn impure(source: &Source) -> Vec<String> {
    const WORLD: [&str; 7] =
        ["std::fs", "std::net", "std::thread", "std::env", "SystemTime", "Instant", "tokio"];
    if !source.path.starts_with("crates/semel-core/src/") || source.path.contains("/suite") {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (line, code) in source.product() {
        for name in WORLD.iter().filter(|name| super::markers::has_word(code, name)) {
            faults
                .push(format!("{}:{line}: '{name}': the rules touch nothing outside", source.path));
        }
    }
    faults
}

/// The lints of the workspace, `unsafe_code = "forbid"` among them, hold in a crate that asks for them.
fn lints_off(manifest: &Text) -> Vec<String> {
    let asks = manifest.text.contains("[lints]\nworkspace = true\n");
    let root = manifest.text.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n");
    if asks || root {
        return Vec::new();
    }
    vec![format!("{}: add [lints] workspace = true", manifest.path)]
}

/// A crate that includes a file from outside its folder cannot be packaged. This one never is.
fn outside(source: &Source) -> Vec<String> {
    if source.path.starts_with("crates/semel-sim/") {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (i, line) in source.text.lines().enumerate() {
        let Some((_, rest)) =
            line.split_once("include_str!(\"").or(line.split_once("include_bytes!(\""))
        else {
            continue;
        };
        let ups = rest.split('"').next().unwrap_or_default().matches("../").count();
        // crates/NAME/src/a/b.rs: two steps up from `src/a` still end within the crate.
        let within = source.path.matches('/').count().saturating_sub(2);
        if ups > within {
            faults.push(format!("{}:{}: includes a file outside its crate", source.path, i + 1));
        }
    }
    faults
}

#[test]
fn each_crate_keeps_to_its_layer() {
    assert_tidy(&packages().iter().flat_map(misplaced).collect::<Vec<_>>());
}

#[test]
fn each_crate_keeps_to_its_layer_bites() {
    let sample = |name: &str, need: &str, feature: &str| Package {
        name: name.into(),
        folder: format!("crates/{name}"),
        needs: BTreeSet::from([need.to_owned()]),
        optional: BTreeSet::new(),
        features: vec![(feature.into(), vec!["dep:tokio".into()])],
        published: true,
    };
    assert_eq!(misplaced(&sample("semel-core", "rand", "suite")).len(), 1);
    assert_eq!(misplaced(&sample("semel-core", "tokio", "suite")).len(), 1);
    assert_eq!(misplaced(&sample("semel-core", "bytes", "default")).len(), 1);
    assert_eq!(misplaced(&sample("semel", "clap", "x")).len(), 1);
    assert_eq!(misplaced(&sample("semel-conform", "semel-core", "x")).len(), 1);
    assert_eq!(misplaced(&sample("semel-sim", "semel", "x")).len(), 1);
    assert_eq!(misplaced(&sample("semel-extra", "bytes", "x")).len(), 1);
    for name in CRATES.iter().filter(|name| **name != "semel-sim") {
        assert_eq!(misplaced(&sample(name, "bytes", "suite")).len(), 0, "{name}");
    }
}

#[test]
fn the_rules_touch_nothing_outside() {
    assert_tidy(&sources().iter().flat_map(impure).collect::<Vec<_>>());
}

#[test]
fn the_rules_touch_nothing_outside_bites() {
    let faults =
        |path: &str| impure(&Source::new(path, "let now = Instant::now();\nuse std::fs;\n")).len();
    assert_eq!(faults("crates/semel-core/src/machine.rs"), 2);
    assert_eq!(faults("crates/semel-core/src/suite/race.rs"), 0);
    assert_eq!(faults("crates/semel/src/engine/mod.rs"), 0);
}

#[test]
fn every_crate_takes_the_lints() {
    assert_tidy(&texts_named("Cargo.toml").iter().flat_map(lints_off).collect::<Vec<_>>());
}

#[test]
fn every_crate_takes_the_lints_bites() {
    let manifest = |text: &str| Text { path: "crates/x/Cargo.toml".into(), text: text.into() };
    assert_eq!(lints_off(&manifest("[package]\nname = \"x\"\n")).len(), 1);
    assert_eq!(lints_off(&manifest("[workspace.lints.rust]\nunsafe_code = \"allow\"\n")).len(), 1);
}

#[test]
fn every_crate_can_be_packaged() {
    assert_tidy(&sources().iter().flat_map(outside).collect::<Vec<_>>());
}

#[test]
fn every_crate_can_be_packaged_bites() {
    let faults = |path: &str| {
        let line =
            format!("const PAGE: &str = {}(\"../../page.html\");\n", concat!("include", "_str!"));
        outside(&Source::new(path, &line)).len()
    };
    assert_eq!(faults("crates/x/src/a.rs"), 1);
    assert_eq!(faults("crates/x/src/a/b.rs"), 0);
}
