import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"

export default function Live() {
  const { t } = useTranslation("live")
  return <PageHead title={t("title")} about={t("about")} />
}
