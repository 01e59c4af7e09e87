//! feiqian-wallet
