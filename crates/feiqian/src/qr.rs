//! A request drawn as a QR code, in half blocks of a terminal.

use feiqian_wire::error::{Code, Fault};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// `text` as a QR code of lowest redundancy: requests are long, screens are clean.
///
/// # Errors
/// `TOO_LARGE` when the text does not fit a QR code.
pub(crate) fn draw(text: &str) -> Result<String, Fault> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)
        .map_err(|error| Fault::new(Code::TooLarge, format!("the request fits no QR code: {error}")))?;
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn the_longest_request_fits_and_more_does_not() {
        assert!(draw(&format!("feiqian:{}", "A".repeat(1492))).is_ok_and(|code| code.lines().count() > 40));
        assert!(draw(&"a".repeat(4000)).is_err());
    }
}
