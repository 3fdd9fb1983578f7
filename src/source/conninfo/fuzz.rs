//! Fuzz targets for the formats that operators write by hand. See `crate::fuzz`.

use super::{
    endpoints::{Endpoint, Endpoints, Place},
    error::Mistakes,
    passfile::{self, Wanted},
    service,
    session::Session,
    settings::{self, Settings},
    socket_options::SocketOptions,
    system_user::SystemUser,
    tls::TlsSettings,
};

/// A URI or `keyword=value` pairs, and the resulting settings. The files they name are not opened.
pub(crate) fn connection_string(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let pairs = settings::parse(text).unwrap_or_default();
    if pairs.iter().any(|pair| pair.keyword == "servicefile") {
        return;
    }
    let mut mistakes = Mistakes::default();
    let settings = Settings::gather(Some(text), &|_| None, None, &mut mistakes);
    let user = SystemUser::default();
    let whole = [
        Endpoints::read(&settings, &mut mistakes).is_some(),
        Session::read(&settings, &user, &mut mistakes).is_some(),
        TlsSettings::read(&settings, None, &mut mistakes).is_some(),
    ];
    SocketOptions::read(&settings, &mut mistakes);
    let mistakes = mistakes.into_vec();
    let is_whole = whole.iter().all(|part| *part);
    assert!(is_whole || !mistakes.is_empty(), "{text:?}");
    for mistake in mistakes {
        // Only the plain name of a service may be repeated.
        assert!(mistake.to_string().len() <= 400);
    }
}

/// The lines of a password file.
pub(crate) fn password_file(bytes: &[u8]) {
    let place = Place::Tcp {
        name: "db".to_owned(),
        address: None,
    };
    let endpoint = Endpoint { place, port: 5432 };
    let wanted = Wanted {
        endpoint: &endpoint,
        database: "shop",
        user: "ann",
    };
    if let Some(password) = passfile::first_match(bytes, &wanted) {
        assert!(!password.0.is_empty() && password.0.len() <= bytes.len());
    }
}

/// The sections of a service file.
pub(crate) fn service_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(Some(pairs)) = service::section("shop", text) {
        let lengths = pairs
            .iter()
            .map(|pair| pair.keyword.len() + pair.value.len());
        assert!(lengths.sum::<usize>() <= text.len());
    }
}
