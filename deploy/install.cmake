# `cmake --install`: FHS paths under CMAKE_INSTALL_PREFIX, all of them below DESTDIR when it is set.
# Configuration goes to /etc for the usual prefixes, and one that is there already is left alone.
if(CMAKE_INSTALL_PREFIX MATCHES "^/usr(/local)?/?$")
  set(CMAKE_INSTALL_SYSCONFDIR /etc)
endif()
include(GNUInstallDirs)

foreach(program torcd torc)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()

install(FILES deploy/torcd.1 deploy/torc.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)

if(EXISTS ${CMAKE_SOURCE_DIR}/deploy/torc.bash-completion)
  install(FILES deploy/torc.bash-completion
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME torc)
endif()

configure_file(deploy/torcd.service.in ${CMAKE_BINARY_DIR}/torcd.service @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/torcd.service DESTINATION lib/systemd/system)
install(FILES deploy/torc.sysusers DESTINATION lib/sysusers.d RENAME torc.conf)

install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(CODE "
  set(conf \"\$ENV{DESTDIR}${CMAKE_INSTALL_FULL_SYSCONFDIR}/torc/torc.conf\")
  if(EXISTS \"\${conf}\")
    message(STATUS \"Left as it is: \${conf}\")
  else()
    file(INSTALL \"${CMAKE_SOURCE_DIR}/deploy/torc.conf\"
      DESTINATION \"${CMAKE_INSTALL_FULL_SYSCONFDIR}/torc\")
  endif()")
